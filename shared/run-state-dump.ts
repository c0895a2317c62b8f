/** The plan of a restore from a dump as lines for people: what it is, what is lost, what is not known. */
import type { DumpPlan } from './contracts/dump.js';
import type { DumpPromotionPlan } from './contracts/promotion.js';
import type { EvidenceCheck } from './contracts/sandbox.js';
import type { PlanView } from './contracts/status.js';
import { formatBytes, formatSeconds } from './run-state-plan.js';

const TAKEN_FROM = {
  archive: 'written in the dump, without a zone, read as UTC',
  file: 'when the file was last written: the dump says no time',
  now: 'it is taken in this run',
} as const;

/** The plan of `restore-dump`. */
export function dumpPlanView(plan: DumpPlan): PlanView {
  const { dump, cluster, lost, space } = plan;
  return {
    hash: plan.hash,
    summary: [
      `restore ${plan.environment} from ${sourceText(plan)} into a new cluster on host ${plan.host}`,
      `dump: ${formatText(plan)}, taken ${dump.takenAt} (${TAKEN_FROM[dump.takenAtFrom]})`,
      `of PostgreSQL ${dump.serverVersion ?? 'unknown'}${dump.database === null ? '' : `, database ${dump.database}`}; pg_dump ${dump.toolVersion ?? 'of this host'}`,
      `holds ${String(dump.tables)} tables${dump.rows === null ? ', rows not counted' : ` and ${String(dump.rows)} rows, read to its end`}`,
      lostText(lost),
      `new cluster: PostgreSQL ${String(cluster.postgresMajor)}, ${cluster.locale.encoding}, ${cluster.locale.provider} ${cluster.locale.locale ?? cluster.locale.collate} (from ${cluster.localeFrom}), checksums`,
      `its own system identifier${plan.replaces === null ? '' : ` (production is ${plan.replaces})`}, timeline 1: it shares no archive, backup or standby with production`,
      ownershipText(plan),
      ...(plan.extensions.length === 0 ? [] : [`extensions: ${plan.extensions.join(', ')}`]),
      `space: ${formatBytes(space.needBytes)} needed of ${formatBytes(space.availableBytes)} available at ${space.path}`,
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

/** The plan of `dump-promotion`: what takes whose place, and everything that ends with the old cluster. */
export function dumpPromotionPlanView(plan: DumpPromotionPlan, dump: DumpPlan): PlanView {
  const { primary, standbys } = plan;
  const fromSandbox = plan.settingsFrom === plan.sandboxDataDir;
  return {
    hash: plan.hash,
    summary: [
      `promote the dump ${sourceText(dump)}, restored in sandbox ${plan.ref.sandbox} on ${plan.ref.host}, into ${plan.environment}`,
      lostText(dump.lost),
      `new identity: system ${plan.newSystemIdentifier} on timeline 1 takes the place of ${plan.oldSystemIdentifier ?? 'a cluster of which nothing is left'}; replication, slots and subscriptions of the old one end`,
      `stop ${plan.apps.length === 0 ? 'no applications' : `applications ${plan.apps.join(', ')}`}, then ${[primary, ...standbys].map(({ name }) => name).join(', ')}`,
      plan.oldSystemIdentifier === null || primary.systemIdentifier === 'unknown'
        ? `nothing stands in ${primary.dataDir} of ${primary.name}: nothing is kept`
        : `keep ${primary.dataDir} of ${primary.name} (${primary.role}, ${primary.state}) as ${primary.keptDataDir}`,
      `swap in ${plan.sandboxDataDir}, flush it to disk, start ${primary.name}; there is no recovery to end`,
      `configuration: ${fromSandbox ? `as it stands in the sandbox (${plan.settingsFrom}), listening at the address of the config` : `that of production, from ${plan.settingsFrom}`}`,
      ...standbys.map(
        ({ name, host }) =>
          `rebuild standby ${name} on ${host} with a full copy: it is of the old cluster and cannot follow`,
      ),
      `archive: ${plan.archive}; it must hold nothing of another cluster`,
      `backups: ${plan.backups}`,
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

/** What a person who approves is shown besides the checks of the restore. */
export function dumpPromotionEvidence(plan: DumpPromotionPlan, dump: DumpPlan): EvidenceCheck[] {
  return [
    { check: 'given-up', expected: 'known to whoever approves', actual: lostText(dump.lost), ok: true },
    {
      check: 'archive-of-its-own',
      expected: `nothing, or only system ${plan.newSystemIdentifier}`,
      actual: plan.archive,
      ok: true,
    },
  ];
}

function sourceText({ source }: DumpPlan): string {
  return source.kind === 'file' ? source.path : `server ${source.url}`;
}

function formatText({ dump, source, jobs }: DumpPlan): string {
  if (source.kind === 'server') return `pg_dump of ${formatBytes(dump.bytes)} with ${String(jobs)} jobs`;
  const packed = dump.compression === 'none' ? '' : `, ${dump.compression}`;
  const parallel = dump.format === 'custom' || dump.format === 'directory' ? `, ${String(jobs)} jobs` : ', one job';
  return `${dump.format === 'plain' ? 'plain SQL' : `${dump.format} archive`} of ${formatBytes(dump.bytes)}${packed}${parallel}`;
}

function lostText({ since, until, untilFrom, seconds }: DumpPlan['lost']): string {
  if (until === null || seconds === null) return `LOST: everything committed after ${since}; until when, ${untilFrom}`;
  return `LOST: everything committed after ${since}, ${formatSeconds(seconds)} until ${until} (${untilFrom})`;
}

function ownershipText({ ownership, placeholderRoles, globals }: DumpPlan): string {
  const made = placeholderRoles.length === 0 ? '' : `; made without login: ${placeholderRoles.join(', ')}`;
  if (ownership === 'left-out') return `owners and grants are left out${made}`;
  return `owners and grants as in the dump${globals === null ? '' : `, roles from ${globals}`}${made}`;
}
