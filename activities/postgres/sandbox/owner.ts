/** The user to whom a sandbox and its server belong. */
import { stat } from 'node:fs/promises';

import type { NodeConfig } from '../../../config/schema.js';
import { nodeOnHost } from '../../lib/environment-config.js';
import { runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import type { Owner } from '../data-directory.js';
import type { SandboxPlace } from './place.js';

/**
 * As root: the owner of the node's data directory on this host, so that a promotion is a rename and nothing has to change hands; else the
 * configured `runAs`. Otherwise ourselves. Throws PreconditionFailed when that would be root: PostgreSQL refuses to run as root.
 */
export async function sandboxOwner(place: SandboxPlace): Promise<Owner> {
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0) return { uid, gid: process.getgid?.() ?? uid };
  const node = nodeOnHost(place.environment, place.ref.host);
  const facts = node === null ? null : await stat(node.dataDir).catch(() => null);
  if (facts !== null && facts.uid !== 0) return { uid: facts.uid, gid: facts.gid };
  return configuredOwner(place, node);
}

async function configuredOwner(place: SandboxPlace, node: NodeConfig | null): Promise<Owner> {
  const candidates = [...(node === null ? [] : [node]), ...place.environment.nodes];
  const runAs = candidates
    .map(({ runtime }) => (runtime.kind === 'process' ? runtime.runAs : undefined))
    .find((name) => name !== undefined);
  if (runAs !== undefined) return { uid: await idOf(runAs, '-u'), gid: await idOf(runAs, '-g') };
  throw stepFailure(
    'PreconditionFailed',
    'PostgreSQL does not run as root, and nothing says as whom the sandbox should',
    { hint: 'set runtime.runAs of the node in the config to the operating system user of the server' },
  );
}

async function idOf(user: string, flag: '-u' | '-g'): Promise<number> {
  const result = await runProgram('id', [flag, '--', user]);
  const id = Number(result.stdout.trim());
  if (result.exitCode === 0 && Number.isInteger(id) && id > 0) return id;
  throw stepFailure('PreconditionFailed', `there is no usable operating system user "${user}" on this host`, {
    hint: 'correct runtime.runAs in the config',
  });
}
