/** The plan of a restore from a dump as lines for people: what it is, what is lost, what is not known. */
import type { DumpPlan } from './contracts/dump.js';
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
