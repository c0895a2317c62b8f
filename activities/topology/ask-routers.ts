/** Routers and poolers, through their providers. One that cannot be asked is shown as `unknown` with the reason, never left out. */
import type { EnvironmentConfig } from '../../config/schema.js';
import type { TopologyPooler, TopologyRouter } from '../../shared/contracts/topology.js';
import type { ActivityDeps } from '../lib/deps.js';
import type { Pooler } from '../lib/routing.js';
import { reasonOf, within } from './within.js';

/** For the runtime API, and once more for the statistics page that stands in for it. */
const OPEN_MS = 600;
const ASK_MS = 1_300;
const LATE = `no answer in ${String(ASK_MS)} ms`;

/** What every router says of every server. Never fails; takes 1.3 s at most. */
export async function askRouters(
  deps: Pick<ActivityDeps, 'routing'>,
  name: string,
  environment: EnvironmentConfig,
): Promise<TopologyRouter[]> {
  const unknown = (why: string): TopologyRouter[] =>
    instancesOf(environment).map((instance) => unanswered(instance, why));
  const work = async (): Promise<TopologyRouter[]> => {
    try {
      const session = await deps.routing(name).open(OPEN_MS, { lenient: true });
      return await session.servers().finally(() => session.close());
    } catch (error) {
      return unknown(reasonOf(error));
    }
  };
  return within(ASK_MS, work(), () => unknown(LATE));
}

function instancesOf({ routing }: EnvironmentConfig): string[] {
  return routing.kind === 'haproxy' ? routing.instances.map(({ name }) => name) : [routing.kind];
}

function unanswered(instance: string, why: string): TopologyRouter {
  return { instance, server: '*', node: null, state: 'unknown', check: why, sessions: null };
}

/** What every pooler says of itself. Never fails; takes 1.3 s at most. */
export async function askPoolers(
  deps: Pick<ActivityDeps, 'poolers'>,
  name: string,
  environment: EnvironmentConfig,
): Promise<TopologyPooler[]> {
  if (environment.poolers.length === 0) return [];
  const unknown = (pooler: string, why: string): TopologyPooler => ({
    name: pooler,
    state: 'unknown',
    why,
    waiting: null,
  });
  try {
    const poolers = deps.poolers(name);
    return await Promise.all(
      poolers.map((pooler) =>
        within(
          ASK_MS,
          askPooler(pooler).catch((error: unknown) => unknown(pooler.name, reasonOf(error))),
          () => unknown(pooler.name, LATE),
        ),
      ),
    );
  } catch (error) {
    return environment.poolers.map((pooler) => unknown(pooler.name, reasonOf(error)));
  }
}

async function askPooler(pooler: Pooler): Promise<TopologyPooler> {
  const session = await pooler.open(OPEN_MS);
  return session.state().finally(() => session.close());
}
