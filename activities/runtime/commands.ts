/** Argument arrays of `docker` and `systemctl`. Pure. */

/** Ids of all containers, also of stopped ones: exit code 0 and no line means "none", which `inspect` of one name cannot say. */
export function listContainersArgs(): string[] {
  return ['ps', '--all', '--quiet', '--no-trunc'];
}

export function inspectContainersArgs(ids: readonly string[]): string[] {
  return ['inspect', '--type', 'container', ...ids];
}

/**
 * Sends the stop signal of the container (the PostgreSQL images: SIGINT, a fast shutdown) and waits without an end: with any other time the engine
 * kills a server that is still writing its shutdown checkpoint. The caller bounds the wait; nothing is killed then.
 */
export function stopContainerArgs(container: string): string[] {
  return ['stop', '-t', '-1', container];
}

export function startContainerArgs(container: string): string[] {
  return ['start', container];
}

/** What the container wrote last, for the message of a failed start. */
export function containerLogArgs(container: string, since: string): string[] {
  return ['logs', '--tail', '8', '--since', since, container];
}

export function setRestartPolicyArgs(container: string, policy: string): string[] {
  return ['update', '--restart', policy, container];
}

/** Properties of a unit that say what it is and what it does now. */
const UNIT_PROPERTIES = [
  'Id',
  'Type',
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'MainPID',
  'ExecMainStatus',
  'ControlGroup',
  'Job',
] as const;

/** `show` exits 0 for unknown units too: LoadState tells. */
export function showUnitArgs(unit: string): string[] {
  return ['show', '--no-pager', ...UNIT_PROPERTIES.flatMap((name) => ['-p', name]), '--', unit];
}

/** Only queues the job: whether it is done is read from the state. */
export function unitJobArgs(verb: 'start' | 'stop', unit: string): string[] {
  return [verb, '--no-block', '--no-ask-password', '--', unit];
}

/** Loaded instances of an umbrella unit: `postgresql.service` has `postgresql@18-main.service`. */
export function listInstancesArgs(unit: string): string[] {
  const pattern = `${unit.replace(/\.service$/, '')}@*`;
  return ['list-units', '--all', '--plain', '--no-legend', '--no-pager', '--', pattern];
}

/** Last lines of a unit's journal, for the message of a failed start. */
export function unitLogArgs(unit: string): string[] {
  return ['--unit', unit, '--lines', '8', '--output', 'cat', '--no-pager'];
}
