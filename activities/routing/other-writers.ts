/** No node but the owner of the write address may accept writes. */
import type { NodeConfig } from '../../config/schema.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../lib/deps.js';
import { withClient } from '../lib/database.js';
import { environmentOf } from '../lib/environment-config.js';
import { isFailureOf } from '../lib/failure.js';

type Answer = { node: string; answer: 'accepts writes' | 'standby' | 'does not answer' };

/** Asks every other node directly. One that does not answer is shown as that: it was fenced, or it cannot be reached from here. */
export async function probeOthers(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  owner: string | null,
): Promise<EvidenceCheck> {
  const { nodes } = environmentOf(deps.config, environmentName);
  const others = nodes.filter((node) => node.name !== owner);
  const answers = await Promise.all(others.map((node) => ask(deps, environmentName, node)));
  const actual = answers.map(({ node, answer }) => `${node}: ${answer}`).join(', ');
  return {
    check: 'single-writer',
    expected: 'no other node accepts writes',
    actual: actual === '' ? 'there is no other node' : actual,
    ok: !answers.some(({ answer }) => answer === 'accepts writes'),
  };
}

async function ask(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  node: NodeConfig,
): Promise<Answer> {
  const { user, database, password } = environmentOf(deps.config, environmentName).postgres;
  const secret = password === undefined ? null : await deps.resolveSecret(password);
  const options = { host: node.address, port: node.port, user, database, password: secret, connectTimeoutMs: 2_000 };
  try {
    return await withClient(options, async (client): Promise<Answer> => {
      const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
      return { node: node.name, answer: rows[0]?.standby === true ? 'standby' : 'accepts writes' };
    });
  } catch (error) {
    if (!isFailureOf(error, 'DatabaseUnavailable')) throw error;
    return { node: node.name, answer: 'does not answer' };
  }
}
