/** The configuration of a rebuilt standby: its own files, with the way to its new primary from the copy. */
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import { stepFailure } from '../../lib/failure.js';
import type { PrivateServers } from '../../lib/runtime.js';
import { pathExists, readTextIfThere, replaceFile, type Owner } from '../data-directory.js';
import { copySettings, stripRecoverySettings } from '../promotion/production-settings.js';
import { lastValue, withSettings } from '../settings-files.js';

/**
 * Puts the standby's own configuration (from `kept`, when there is one) over that of the copy. The address of the primary and the slot are those
 * that pg_basebackup wrote. The port must be the node's own: a copy carries the primary's.
 */
export async function settleStandby(
  servers: PrivateServers,
  node: NodeConfig,
  cloneDir: string,
  kept: string | null,
  owner: Owner,
): Promise<void> {
  const autoFile = path.join(cloneDir, 'postgresql.auto.conf');
  const written = (await readTextIfThere(autoFile)) ?? '';
  const primary = lastValue(written, 'primary_conninfo');
  const slot = lastValue(written, 'primary_slot_name');
  if (primary === null || !(await pathExists(path.join(cloneDir, 'standby.signal')))) {
    throw stepFailure('PreconditionFailed', `the copy in ${cloneDir} does not know that it is a standby`);
  }
  if (kept !== null) await copySettings(kept, cloneDir, owner);
  await stripRecoverySettings(cloneDir, owner);
  const own = (await readTextIfThere(autoFile)) ?? '';
  const follow = { primary_conninfo: primary, ...(slot === null ? {} : { primary_slot_name: slot }) };
  await replaceFile(autoFile, withSettings(own, follow), owner);
  // The port of a container's server is not the one that the container publishes.
  if (node.runtime.kind === 'docker') return;
  const { port } = await servers.readSettings(cloneDir, owner, ['port']);
  if (port === String(node.port)) return;
  await replaceFile(autoFile, withSettings(own, { ...follow, port: String(node.port) }), owner);
}

/** The slot that the standby used, else one named after the node (lower-case letters, digits and underscores are allowed). */
export async function slotNameFor(node: NodeConfig, kept: string | null): Promise<string> {
  for (const file of kept === null ? [] : ['postgresql.auto.conf', 'postgresql.conf']) {
    const text = await readTextIfThere(path.join(kept ?? '', file));
    const known = lastValue(text ?? '', 'primary_slot_name');
    if (known !== null && known !== '') return known;
  }
  return node.name.replace(/[^a-z0-9_]/g, '_');
}
