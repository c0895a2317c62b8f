/** From the answers at the write address to its owner. Pure. */
import type { EnvironmentConfig } from '../../config/schema.js';
import type { Topology } from '../../shared/contracts/topology.js';
import type { LookedAt } from './describe-node.js';
import type { ProbeAnswer, ServerMark } from './write-probe.js';

/**
 * The first host of the address that takes writes, as clients find it; with one host only, also one that refuses: a write address that leads to a
 * standby has an owner, and people must see which.
 */
export function describeWriteVip(
  environment: Pick<EnvironmentConfig, 'routing'>,
  answers: readonly ProbeAnswer[],
  looks: readonly LookedAt[],
): Topology['writeVip'] {
  const accepting = answers.find(({ accepted }) => accepted);
  const chosen = accepting ?? (answers.length === 1 ? answers[0] : undefined);
  const said = answers.map(({ target, why }) => `${target} ${why ?? 'takes writes'}`).join('; ');
  return {
    address: environment.routing.url,
    owner: chosen?.server === undefined || chosen.server === null ? null : ownerOf(chosen.server, looks),
    probe: {
      ok: accepting !== undefined,
      ms: chosen?.ms ?? Math.max(0, ...answers.map(({ ms }) => ms)),
      why: accepting === undefined ? said : null,
    },
  };
}

/**
 * The node whose server this is: the same system and start to the microsecond as what the node answered directly. A node that did not answer
 * is known by data directory and port, where that fits one node only.
 */
function ownerOf(server: ServerMark, looks: readonly LookedAt[]): string | null {
  const same = looks.filter(
    ({ look }) =>
      look.outcome === 'answered' &&
      look.server.systemIdentifier === server.systemIdentifier &&
      look.server.startedAt === server.startedAt,
  );
  const silent = looks.filter(({ node, look }) => look.outcome !== 'answered' && mayBe(node, server));
  const [only, ...more] = same.length > 0 ? same : silent;
  return only === undefined || more.length > 0 ? null : only.node.name;
}

function mayBe(node: LookedAt['node'], server: ServerMark): boolean {
  const byAddress = node.address === server.address && node.port === server.port;
  const byDirectory = node.dataDir.replace(/\/+$/, '') === server.dataDir && node.port === server.port;
  return byAddress || byDirectory;
}
