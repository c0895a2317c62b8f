/** Every id is a function of its inputs, so that a retry names the same thing again (style A5.2). */

/** Task queue of the activities that touch one database host. */
export function taskQueueForHost(host: string): string {
  return `host/${host}`;
}

/** Task queue of workflows and of activities that need only the network. */
export const ORCHESTRATOR_QUEUE = 'orchestrator';

/** The lock of an environment: every runbook that changes production runs under this workflow id. */
export function changeIdFor(environment: string): string {
  return `${environment}/change`;
}

/** `20261121-034200` of an ISO time. */
export function compactUtc(isoTime: string): string {
  return isoTime.slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
}

/** Workflow id of a point-in-time recovery. */
export function pitrIdFor(environment: string, requestedAt: string): string {
  return `${environment}/pitr/${compactUtc(requestedAt)}`;
}

/** Workflow id of the restore of a dump. */
export function restoreDumpIdFor(environment: string, requestedAt: string): string {
  return `${environment}/restore-dump/${compactUtc(requestedAt)}`;
}

/** Workflow id of the refresh of a developer's database. */
export function restoreDevIdFor(environment: string, requestedAt: string): string {
  return `${environment}/restore-dev/${compactUtc(requestedAt)}`;
}

/** Workflow id of a run that only makes the plan of a change: it needs no lock and holds none. */
export function planIdFor(environment: string, requestedAt: string): string {
  return `${environment}/plan/${compactUtc(requestedAt)}`;
}

/** Workflow id of the keeper that drops a kept sandbox when its time to live has passed. */
export function sandboxKeeperIdFor(environment: string, sandbox: string): string {
  return `${environment}/sandbox/${sandbox}`;
}

/** Workflow id of what tells people of one execution of a run. */
export function noticesIdFor(run: string, runId: string): string {
  return `${run}/notices/${shortRunId(runId)}`;
}

/** File-system name of a run: used for sandboxes, jobs, kept data and records. Slashes become dots. */
export function slugFor(run: string): string {
  return run.replace(/[^A-Za-z0-9._-]+/g, '.');
}

/** Job of one step of one execution; the same on every attempt. */
export function jobIdFor(runId: string, step: string): string {
  return `${slugFor(runId)}.${step}`;
}

/**
 * Start of a run id for names of files: Temporal's run ids are UUIDv7, whose first 12 digits are the time in milliseconds. Fewer digits are
 * not enough: the first 8 are the same for all runs of a minute.
 */
export function shortRunId(runId: string): string {
  return slugFor(runId).slice(0, 13);
}

/** Directory to which a data directory is renamed aside before another takes its place. */
export function keptDataDirFor(dataDir: string, runId: string): string {
  return `${dataDir}.kept-${shortRunId(runId)}`;
}
