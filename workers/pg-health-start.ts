/** pg-health of one node: the two watchers and the HTTP server, joined. */
import type { Config } from '../config/schema.js';
import { fenceDirFor } from '../shared/fence-file.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { healthOf, type Health } from './pg-health-answer.js';
import { watchFence } from './pg-health-fence-watch.js';
import { listen } from './pg-health-server.js';
import { watchServer, type ServerLogin } from './pg-health-server-watch.js';

export type HealthPlace = {
  environment: string;
  node: string;
  stateDir: string;
  listen: { host: string; port: number };
  login: ServerLogin;
};

export type HealthLog = (fields: Record<string, unknown>, message: string) => void;

export type RunningHealth = { port: number; stop(): Promise<void> };

/** How often a change is looked for to be told in the log; nothing depends on it. */
const LOG_EVERY_MS = 100;

/**
 * What pg-health of `node` needs, from the config; `environment` is asked for only where two have a node of that name. Throws NotFound, BadUsage
 * or ConfigInvalid.
 */
export function healthPlaceOf(
  config: Config,
  asked: { node: string; environment?: string | undefined },
  resolveSecret: (reference: string) => Promise<string>,
): HealthPlace {
  const found = Object.entries(config.environments).flatMap(([name, environment]) => {
    const node = environment.nodes.find((one) => one.name === asked.node);
    return node === undefined || (asked.environment ?? name) !== name ? [] : [{ name, environment, node }];
  });
  const [only, ...more] = found;
  if (only === undefined) throw unknownNode(config, asked.node);
  if (more.length > 0) {
    throw new PgrFailure('BadUsage', `node ${asked.node} is in ${found.map(({ name }) => name).join(' and ')}`, {
      hint: 'say which one with --environment NAME',
    });
  }
  const { name, environment, node } = only;
  const { health } = node;
  if (health?.kind !== 'pgr') {
    throw new PgrFailure('ConfigInvalid', `node ${node.name} of ${name} has no health of kind pgr in the config`, {
      hint: 'give it one: health: { kind: pgr, port: 8009 }',
    });
  }
  const { user, database, password } = environment.postgres;
  return {
    environment: name,
    node: node.name,
    stateDir: config.stateDir,
    listen: { host: health.listen, port: health.port },
    login: {
      host: node.address,
      port: node.port,
      user,
      database,
      password: () => (password === undefined ? Promise.resolve(null) : resolveSecret(password)),
    },
  };
}

function unknownNode(config: Config, node: string): PgrFailure {
  const known = Object.values(config.environments).flatMap(({ nodes }) => nodes.map(({ name }) => name));
  return new PgrFailure('NotFound', `there is no node ${node} in the config`, {
    hint: `its nodes are: ${[...new Set(known)].join(', ')}`,
  });
}

/** Listens when it returns; the server of the node may be down. Throws PortTaken or ConfigInvalid. */
export async function startHealth(place: HealthPlace, log: HealthLog): Promise<RunningHealth> {
  const now = (): number => performance.now();
  const fence = await watchFence({ ...place, now });
  const server = watchServer(place.login, now);
  const health = (): Health => healthOf(server.state(), fence.state(), now());
  const stopWatching = async (): Promise<void> => {
    await Promise.all([fence.stop(), server.stop()]);
  };
  const http = await listen(place.listen, { environment: place.environment, node: place.node }, health).catch(
    async (error: unknown) => {
      await stopWatching();
      throw error;
    },
  );
  const { environment, node } = place;
  log({ environment, node, port: http.port, fences: fenceDirFor(place.stateDir) }, 'pg-health is ready');
  const stopLog = logChanges(health, { environment, node }, log);
  return {
    port: http.port,
    async stop() {
      stopLog();
      await Promise.all([http.close(), stopWatching()]);
    },
  };
}

/** One line for each change of the answer. */
function logChanges(health: () => Health, who: object, log: HealthLog): () => void {
  let last = '';
  const timer = setInterval(() => {
    const { role, acceptsWrites, streaming, fenced, why } = health();
    const summary = JSON.stringify([role, acceptsWrites, streaming, fenced]);
    if (summary === last) return;
    last = summary;
    log({ ...who, role, acceptsWrites, streaming, fenced, why }, 'the answer changed');
  }, LOG_EVERY_MS);
  return () => {
    clearInterval(timer);
  };
}
