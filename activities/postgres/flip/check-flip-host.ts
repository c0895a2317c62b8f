/** What only the host of a node can see before a flip: space, programs, the way to the peer. Changes nothing; every trouble is a row, not a failure. */
import { statfs } from 'node:fs/promises';
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import type { CheckFlipHostInput, CheckFlipHostResult } from '../../../shared/contracts/flip.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { replicationAddress, withClient } from '../connection.js';
import { readControlData } from '../control-data.js';
import { ownerOf, pathExists } from '../data-directory.js';
import { requireThisHost } from '../promotion/node-place.js';
import { errorText } from './error-text.js';

/** Room for the WAL of some minutes, which a primary keeps while its old one is away. */
const LEAST_FREE_BYTES = 1024 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 3_000;

export function createCheckFlipHost(deps: ActivityDeps) {
  return async function checkFlipHost(input: CheckFlipHostInput): Promise<CheckFlipHostResult> {
    const environment = environmentOf(deps.config, input.environment);
    const node = nodeNamed(environment, input.node);
    nodeNamed(environment, input.peer);
    requireThisHost(node);
    const checks = await Promise.all([
      attempt(`server ${node.name}`, 'can be asked', () => serverState(deps, input)),
      attempt(`disk-space ${node.name}`, `at least ${String(LEAST_FREE_BYTES)} bytes`, () => freeSpace(node)),
      attempt(`replication-login ${node.name} to ${input.peer}`, 'accepted', () => replicationLogin(deps, input)),
      attempt(`rewind ${node.name}`, 'possible, should it be needed', () => rewindReady(deps, input, node)),
    ]);
    return { checks };
  };
}

type Answer = { actual: string; ok: boolean; note?: string };

async function attempt(check: string, expected: string, look: () => Promise<Answer>): Promise<EvidenceCheck> {
  try {
    return { check, expected, ...(await look()) };
  } catch (error) {
    return { check, expected, actual: errorText(error), ok: false };
  }
}

async function serverState(deps: ActivityDeps, input: CheckFlipHostInput): Promise<Answer> {
  const status = await deps.runtime(input.environment, input.node).status();
  if (status.state === 'running') return { actual: `running, pid ${String(status.pid)}`, ok: true };
  return { actual: `${status.state}: ${status.why}`, ok: status.state === 'stopped' };
}

async function freeSpace(node: NodeConfig): Promise<Answer> {
  const { bavail, bsize } = await statfs(node.dataDir);
  const free = bavail * bsize;
  return { actual: `${String(free)} bytes`, ok: free >= LEAST_FREE_BYTES };
}

/** As the standby will log in when the roles are changed: with the replication role, for replication, to the peer of the same system. */
async function replicationLogin(deps: ActivityDeps, input: CheckFlipHostInput): Promise<Answer> {
  const address = await replicationAddress(deps, input.environment, input.peer);
  const options = { ...address, plain: true, replication: true, connectTimeoutMs: CONNECT_TIMEOUT_MS };
  const systemIdentifier = await withClient(options, async (client) => {
    const { rows } = await client.query<{ systemid: string }>('IDENTIFY_SYSTEM');
    return rows[0]?.systemid ?? 'nothing';
  });
  const { binDir, dataDir } = nodeNamed(environmentOf(deps.config, input.environment), input.node);
  const own = (await readControlData(binDir, dataDir))?.systemIdentifier ?? 'none';
  return own === systemIdentifier
    ? { actual: 'accepted', ok: true }
    : { actual: `accepted, but it is system ${systemIdentifier}, here is ${own}`, ok: false };
}

/** Not needed after a clean flip, so what is missing is no reason to refuse one. */
async function rewindReady(deps: ActivityDeps, input: CheckFlipHostInput, node: NodeConfig): Promise<Answer> {
  const { servers } = deps.runtime(input.environment, input.node);
  const missing: string[] = [];
  if (!(await pathExists(path.join(node.binDir, 'pg_rewind')))) missing.push(`no pg_rewind in ${node.binDir}`);
  const control = await readControlData(node.binDir, node.dataDir);
  const names = ['wal_log_hints', 'full_page_writes'] as const;
  const settings = await servers.readSettings(node.dataDir, await ownerOf(node.dataDir), names);
  if (control?.checksums !== true && settings.wal_log_hints !== 'on')
    missing.push('neither data checksums nor wal_log_hints');
  if (settings.full_page_writes !== 'on') missing.push('full_page_writes is off');
  if (missing.length === 0) return { actual: 'possible, should it be needed', ok: true };
  return { actual: missing.join(', '), ok: true, note: 'a node that diverges must be copied anew' };
}
