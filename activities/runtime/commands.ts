/** Argument arrays of `docker`, `systemctl` and `postgres`. Pure. */

/** For a configuration that does not lie in the data directory (Debian keeps it in /etc/postgresql). */
export function configFileArgs(configFile: string | undefined): string[] {
  return configFile === undefined ? [] : ['-c', `config_file=${configFile}`];
}

/** Prints one setting as the configuration says, and exits. */
export function readSettingArgs(dataDir: string, more: readonly string[], name: string): string[] {
  return ['-D', dataDir, ...more, '-C', name];
}

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

export type NewContainer = {
  /** Null: none is needed, it goes when it ends. */
  name: string | null;
  labels: Readonly<Record<string, string>>;
  image: string;
  user: string;
  network: string;
  mounts: readonly { source: string; destination: string; writable: boolean }[];
  /** `NAME=value`; seen by everybody who lists processes. */
  openEnv: readonly string[];
  /** Names of variables whose values the docker client takes from its own environment: secrets are among them. */
  passedEnv: readonly string[];
  workdir: string;
  more: readonly string[];
  entrypoint: string;
  args: readonly string[];
};

/**
 * A container of ours: never pulled (the image is that of the node's server), never restarted, no health check of the image. With a name it stays in the
 * background until it is removed, without one the client waits for its end.
 */
export function runContainerArgs(wanted: NewContainer): string[] {
  const each = (option: string, values: readonly string[]): string[] => values.flatMap((value) => [option, value]);
  return [
    'run',
    ...(wanted.name === null ? ['--rm'] : ['--detach', '--name', wanted.name]),
    ...['--pull', 'never', '--restart', 'no', '--no-healthcheck', '--userns', 'host'],
    // Nothing of a parallel query fits into the 64 MB that the engine gives.
    ...['--stop-signal', 'SIGINT', '--shm-size', '1g', '--user', wanted.user, '--network', wanted.network],
    ...each(
      '--label',
      Object.entries(wanted.labels).map(([name, value]) => `${name}=${value}`),
    ),
    ...each('--mount', wanted.mounts.map(mountOption)),
    ...each('--env', [...wanted.openEnv, ...wanted.passedEnv]),
    ...['--workdir', wanted.workdir, ...wanted.more, '--entrypoint', wanted.entrypoint, wanted.image, ...wanted.args],
  ];
}

/** The option is a line of CSV. */
function mountOption({ source, destination, writable }: NewContainer['mounts'][number]): string {
  const fields = ['type=bind', `source=${source}`, `target=${destination}`, ...(writable ? [] : ['readonly'])];
  return fields.map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',');
}

/** With the anonymous volumes that its image declares. */
export function removeContainerArgs(container: string): string[] {
  return ['rm', '--force', '--volumes', container];
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
