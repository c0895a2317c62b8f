/** Everything that a planned flip needs, as rows of evidence. Pure. */
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { WalDuty } from '../../lib/archive-duty.js';
import { lsnDistanceBytes } from '../../../shared/lsn.js';
import { historyName } from '../../../shared/timeline.js';
import { archivingProblem } from '../promotion/production-settings.js';
import { conninfoValue } from './upstream.js';
import type { NodeFacts } from './preflight-facts.js';

export type PreflightInput = {
  from: { name: string; facts: NodeFacts };
  to: { name: string; facts: NodeFacts };
  /** Other standbys that need a WAL sender and a slot of the new primary. */
  others: number;
  maxLagBytes: number;
  /** History files above the candidate's timeline that the archive has: a promotion must not choose one of these. */
  laterTimelines: number[];
  wal: WalPath;
};

/** How WAL gets into the backup store; with a receiver of the store the beginning of its application_name. */
export type WalPath = { duty: WalDuty; receiver: string | null };

/** The checks of a planned flip, in the order in which they are shown. */
export function plannedChecks(input: PreflightInput): EvidenceCheck[] {
  const { from, to } = input;
  return [
    row('same-system', from.facts.systemIdentifier, to.facts.systemIdentifier),
    row('same-timeline', String(from.facts.timeline), String(to.facts.timeline)),
    streaming(input),
    lag(input),
    replayRuns(to),
    ...[from, to].map((node) => archives(node, input.wal)),
    ...receives(from, input.wal),
    ...[from, to].map(({ name, facts }) => none(`no-pending-restart ${name}`, facts.pendingRestart)),
    ...[from, to].map(({ name, facts }) => none(`no-base-backup ${name}`, running(facts.baseBackups))),
    ...roomOnCandidate(input),
    settingsNotLower(input),
    syncStandby(input),
    restoreCommand(to),
    nextTimeline(input),
  ];
}

/** The checks of a failover: what can still be asked. */
export function failoverChecks(input: Omit<PreflightInput, 'from'>): EvidenceCheck[] {
  const { to } = input;
  return [
    replayRuns(to),
    archives(to, input.wal),
    none(`no-pending-restart ${to.name}`, to.facts.pendingRestart),
    ...roomOnCandidate(input),
    syncStandby(input),
    restoreCommand(to),
    nextTimeline(input),
  ];
}

function row(check: string, expected: string, actual: string, ok = expected === actual): EvidenceCheck {
  return { check, expected, actual, ok };
}

function none(check: string, found: readonly string[]): EvidenceCheck {
  return row(check, 'none', found.length === 0 ? 'none' : found.join(', '));
}

function running(count: number): string[] {
  return count === 0 ? [] : [`${String(count)} running`];
}

/** Both ends must say so: a receiver believes in a dead connection for a minute (wal_receiver_timeout). */
function streaming({ from, to }: PreflightInput): EvidenceCheck {
  const { receiver } = to.facts;
  const name = applicationNameOf(receiver?.conninfo ?? '');
  const slotPid = from.facts.slots.find(({ slot_name }) => slot_name === receiver?.slot)?.active_pid ?? null;
  const sender = from.facts.senders.find(({ pid, application_name }) =>
    slotPid === null ? application_name === name : pid === slotPid,
  );
  const actual = `${to.name} says ${receiver?.status ?? 'no receiver'}, ${from.name} says ${sender?.state ?? 'no sender for it'}`;
  return row(
    'streaming',
    'both say streaming',
    actual,
    receiver?.status === 'streaming' && sender?.state === 'streaming',
  );
}

/** As the receiver names itself; libpq's fallback otherwise. */
function applicationNameOf(conninfo: string): string {
  const name = conninfoValue(conninfo, 'application_name') ?? conninfoValue(conninfo, 'fallback_application_name');
  return name ?? 'walreceiver';
}

/** Bytes that the candidate has not replayed; null when nobody can tell, which is never good. */
export function lagBytesOf(from: NodeFacts, to: NodeFacts): number | null {
  if (from.currentLsn === null || to.replayLsn === null) return null;
  return Math.max(0, lsnDistanceBytes(to.replayLsn, from.currentLsn));
}

function lag({ from, to, maxLagBytes }: PreflightInput): EvidenceCheck {
  const bytes = lagBytesOf(from.facts, to.facts);
  const actual = bytes === null ? 'unknown' : `${String(bytes)} bytes`;
  return row('lag', `at most ${String(maxLagBytes)} bytes`, actual, bytes !== null && bytes <= maxLagBytes);
}

function replayRuns({ name, facts }: { name: string; facts: NodeFacts }): EvidenceCheck {
  const delay = facts.settings['recovery_min_apply_delay'] ?? '0';
  const actual = facts.replayPaused
    ? 'paused'
    : delay === '0'
      ? 'runs'
      : `delayed by ${delay} ms (recovery_min_apply_delay)`;
  return row(`replay-runs ${name}`, 'runs', actual);
}

function archives({ name, facts }: { name: string; facts: NodeFacts }, { duty }: WalPath): EvidenceCheck {
  if (duty === 'store') return row(`archive ${name}`, 'wal is received by the store', 'wal is received by the store');
  const { settings, archiver } = facts;
  const value = (key: string): string => settings[key] ?? '';
  const off = archivingProblem({
    archive_mode: value('archive_mode'),
    archive_command: value('archive_command'),
    archive_library: value('archive_library'),
  });
  if (off !== null && duty === 'either')
    return row(`archive ${name}`, 'wal is streamed by the store', 'wal is streamed by the store');
  const failing = archiver.failing ? `the last attempt failed (${archiver.lastFailed ?? 'unknown file'})` : null;
  return row(`archive ${name}`, 'set up and working', off ?? failing ?? 'set up and working');
}

/** A receiver that is away now has a gap already, and a flip would end what it could still fetch. */
function receives({ name, facts }: { name: string; facts: NodeFacts }, { receiver }: WalPath): EvidenceCheck[] {
  if (receiver === null) return [];
  const isThere = facts.senders.some(({ application_name: who }) => who.startsWith(receiver));
  return [row(`store-receives ${name}`, 'its receiver is connected', isThere ? 'its receiver is connected' : 'no')];
}

/** Old primary and other standbys will connect to the candidate; a slot that is there already needs no room. */
function roomOnCandidate({ to, others }: Pick<PreflightInput, 'to' | 'others'>): EvidenceCheck[] {
  const need = 1 + others;
  const { settings, senders, slots } = to.facts;
  const free = (name: string, used: number): number => Number(settings[name] ?? 0) - used;
  const room = (check: string, have: number): EvidenceCheck =>
    row(check, `at least ${String(need)}`, String(have), have >= need);
  return [
    room('free-wal-senders', free('max_wal_senders', senders.length)),
    room('free-replication-slots', free('max_replication_slots', slots.length)),
  ];
}

const NOT_LOWER = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
] as const;
const WAL_LEVELS = ['minimal', 'replica', 'logical'];

/** The old primary becomes a standby of the candidate: it refuses to replay when its settings are lower; applications expect what they had. */
function settingsNotLower({ from, to }: PreflightInput): EvidenceCheck {
  const lower = NOT_LOWER.flatMap((name) => {
    const [old, now] = [Number(from.facts.settings[name]), Number(to.facts.settings[name])];
    return now < old ? [`${name} ${String(now)} < ${String(old)}`] : [];
  });
  const level = (facts: NodeFacts): number => WAL_LEVELS.indexOf(facts.settings['wal_level'] ?? '');
  if (level(to.facts) < level(from.facts)) lower.push(`wal_level ${to.facts.settings['wal_level'] ?? 'unknown'}`);
  return none(`settings-not-lower ${to.name}`, lower);
}

/** With nobody to confirm, every commit on the new primary would wait for ever. */
function syncStandby({ to, others }: Pick<PreflightInput, 'to' | 'others'>): EvidenceCheck {
  const names = to.facts.settings['synchronous_standby_names'] ?? '';
  const commit = to.facts.settings['synchronous_commit'] ?? 'on';
  const blocks = names !== '' && !['off', 'local'].includes(commit) && others === 0;
  const actual = blocks ? `synchronous_standby_names = '${names}' and no other standby: commits would wait` : 'nothing';
  return row(`commits-can-finish ${to.name}`, 'nothing', actual);
}

/** It is cleared for the promotion (an archive that does not answer would block it), which a command line would overrule. */
function restoreCommand({ name, facts }: { name: string; facts: NodeFacts }): EvidenceCheck {
  const source = facts.settingSources['restore_command'] ?? 'default';
  const set = (facts.settings['restore_command'] ?? '') !== '' && source === 'command line';
  return row(`restore-command ${name}`, 'can be cleared', set ? 'is set on its command line' : 'can be cleared');
}

/** A promotion takes the first timeline that it knows nothing of; one that the archive has already could not be archived. */
function nextTimeline({ to, laterTimelines }: Pick<PreflightInput, 'to' | 'laterTimelines'>): EvidenceCheck {
  const known = to.facts.historyFiles;
  const asks = (to.facts.settings['restore_command'] ?? '') !== '';
  const unknown = asks ? [] : laterTimelines.filter((timeline) => !known.includes(historyName(timeline)));
  const next = to.facts.timeline + 1;
  const files = unknown.map(historyName).join(', ');
  const actual = unknown.includes(next)
    ? `the archive has ${files}, and ${to.name} has neither that file nor a restore_command`
    : 'a free one';
  return row('next-timeline', 'a free one', actual);
}
