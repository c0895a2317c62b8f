/** Plans as lines for people: what will happen, said before it happens. */
import type { RecoveryPlan, StoreChoice } from './contracts/plan.js';
import type { EvidenceCheck } from './contracts/sandbox.js';
import type { PlannedNode, PromotionPlan, UndoPlan } from './contracts/promotion.js';
import type { PlanView } from './contracts/status.js';
import { formatTarget } from './target-time.js';

/** The plan of a point-in-time recovery. */
export function recoveryPlanView(plan: RecoveryPlan): PlanView {
  const base = plan.baseChain.at(-1);
  return {
    hash: plan.hash,
    target: 'value' in plan.target ? { kind: plan.target.kind, value: plan.target.value } : { kind: plan.target.kind },
    ...(base === undefined ? {} : { base: { id: base.id, endedAt: base.endedAt } }),
    boundary: plan.boundary,
    summary: [
      `restore ${plan.environment} to ${formatTarget(plan.target)} on host ${plan.host}, timeline ${plan.timeline}`,
      ...storeLines(plan),
      ...boundaryLines(plan),
      `bases: ${plan.baseChain.map((one) => `${one.id} (${one.kind}, ended ${one.endedAt})`).join(', ')}`,
      `fetch ${formatBytes(plan.fetch.baseBytes)} of base and ${plan.fetch.walSegments} segments of WAL (${formatBytes(plan.fetch.walBytes)}), replay ${formatBytes(plan.replayBytes)}`,
      `space: ${formatBytes(plan.space.needBytes)} needed of ${formatBytes(plan.space.availableBytes)} available at ${plan.space.path}`,
      `estimated time: ${formatSeconds(plan.estimate.totalSeconds)}`,
      ...warningLines(plan.warnings),
    ],
  };
}

/** Which store serves, and what the others could do. */
function storeLines({ store, stores = [] }: RecoveryPlan): string[] {
  if (store === undefined) return [];
  const chosen = stores.find((one) => one.store === store);
  return [
    `from backup store ${store}${chosen === undefined ? '' : ` (${chosen.kind})`}`,
    ...stores.filter((one) => one.store !== store).map(otherStoreLine),
  ];
}

function otherStoreLine(choice: StoreChoice): string {
  const name = `store ${choice.store} (${choice.kind})`;
  if (!choice.reaches) return `${name} cannot serve: ${choice.why}`;
  const time = `about ${formatSeconds(choice.seconds)}`;
  if (choice.keptUnknown === true) return `${name} could serve: ${time}; what it keeps is known once it is fetched`;
  const kept = choice.kept === null ? 'no transaction' : `transaction ${choice.kept.xid} at ${choice.kept.time}`;
  return `${name} could serve: ${time}, keeps up to ${kept}`;
}

function boundaryLines(plan: RecoveryPlan): string[] {
  const { kept, dropped } = plan.boundary;
  if (plan.boundaryAfterFetch === true) {
    return ['last kept and first dropped: found in the WAL once it is fetched, and shown before anything is promoted'];
  }
  const point = (text: string, at: RecoveryPlan['boundary']['kept']): string =>
    at === null ? `${text}: none` : `${text}: transaction ${at.xid} at ${at.time} (${at.lsn})`;
  const lost = `${plan.lost.exact ? '' : 'at least '}${plan.lost.commits} commits in ${formatSeconds(plan.lost.seconds)}`;
  return [
    point('last kept', kept),
    point('first dropped', dropped),
    `given up after it: ${lost}${plan.lost.until === null ? '' : `, until ${plan.lost.until}`}`,
  ];
}

/** The plan of a promotion, with the boundary of the recovery that it promotes. */
export function promotionPlanView(plan: PromotionPlan, recovery: RecoveryPlan): PlanView {
  return {
    ...recoveryPlanView(recovery),
    hash: plan.hash,
    summary: [
      `promote sandbox ${plan.ref.sandbox} on ${plan.ref.host} into ${plan.environment}`,
      `stop ${plan.apps.length === 0 ? 'no applications' : `applications ${plan.apps.join(', ')}`}, then ${[plan.primary, ...plan.standbys].map((node) => node.name).join(', ')}`,
      keptLine(plan.primary),
      `swap in ${plan.sandboxDataDir}, end recovery on a new timeline, start ${plan.primary.name}`,
      ...plan.standbys.map((node) => `rebuild standby ${node.name} on ${node.host}`),
      ...boundaryLines(recovery),
      `given up in production: ${formatSeconds(plan.lostSeconds)}${plan.lostUntil === null ? '' : `, until ${plan.lostUntil}`}`,
      `backups: ${plan.backups}`,
      ...warningLines([...plan.warnings, ...recovery.warnings]),
    ],
  };
}

/** The plan of an undo. */
export function undoPlanView(plan: UndoPlan): PlanView {
  return {
    hash: plan.hash,
    summary: [
      `bring back the cluster of ${plan.environment} that ${plan.ofRun} replaced`,
      `set aside the promoted data of ${plan.primary.name}, put ${plan.primary.keptDataDir} back to ${plan.primary.dataDir}`,
      ...plan.standbys.map((node) => `put standby ${node.name} on ${node.host} back`),
      plan.lostSince === null
        ? 'nothing was committed since the promotion'
        : `what was committed since the promotion is set aside with it, up to ${plan.lostSince}`,
      ...warningLines(plan.warnings),
    ],
  };
}

/** What a person who approves an undo is shown as evidence. */
export function undoEvidence(plan: UndoPlan): EvidenceCheck[] {
  return [plan.primary, ...plan.standbys].map((node) => ({
    check: `kept data of ${node.name}`,
    expected: node.keptDataDir,
    actual: `${node.role}, timeline ${node.timeline}, system identifier ${node.systemIdentifier}, server ${node.state}`,
    ok: true,
  }));
}

function keptLine(node: PlannedNode): string {
  return `keep ${node.dataDir} of ${node.name} (${node.role}, ${node.state}) as ${node.keptDataDir}`;
}

function warningLines(warnings: readonly string[]): string[] {
  return warnings.map((warning) => `warning: ${warning}`);
}

/** `1.5 GB`, decimal units. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** `45 s`, `12 min 5 s`, `3 h 4 min`, `2 d 1 h`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const pair = (big: number, bigUnit: string, smallUnit: string, small: number): string =>
    small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
  if (whole < 3_600) return pair(Math.floor(whole / 60), 'min', 's', whole % 60);
  if (whole < 86_400) return pair(Math.floor(whole / 3_600), 'h', 'min', Math.floor((whole % 3_600) / 60));
  return pair(Math.floor(whole / 86_400), 'd', 'h', Math.floor((whole % 86_400) / 3_600));
}
