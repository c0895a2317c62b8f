/** Passwords and keys of the lab: random, each in a file of its own, readable for us and for the servers' user. */
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir } from 'node:fs/promises';

import { PgrFailure } from '../shared/pgr-failure.js';
import { readText, replaceText, type FileAccess } from './files.js';
import { LAB_REPLICATION_USER, SECRET_NAMES, type LabPaths, type SecretName } from './paths.js';
import type { ServerUser } from './server-user.js';

/** Access of files that the servers read too (wal-push runs as their user): as root they belong to that user's group. */
function sharedSecretAccess(user: ServerUser | null): FileAccess {
  return user === null ? { mode: 0o600 } : { mode: 0o640, uid: 0, gid: user.gid };
}

/** Makes what is missing; what is there stays, because running servers know it. */
export async function createSecrets(paths: LabPaths, user: ServerUser | null): Promise<void> {
  await mkdir(paths.secretsDir, { recursive: true });
  await chmod(paths.secretsDir, user === null ? 0o700 : 0o750);
  if (user !== null) await chown(paths.secretsDir, 0, user.gid);
  for (const name of SECRET_NAMES) {
    if ((await readText(paths.secret(name))) !== null) continue;
    const value =
      name === 's3-access-key-id'
        ? `LAB${randomBytes(8).toString('hex').toUpperCase()}`
        : randomBytes(18).toString('hex');
    await replaceText(paths.secret(name), `${value}\n`, sharedSecretAccess(user));
  }
  // libpq ignores a password file that a group can read: it belongs to the server's user alone.
  const password = await readSecret(paths, 'replicator');
  await replaceText(paths.replicationPassFile, `*:*:*:${LAB_REPLICATION_USER}:${password}\n`, {
    mode: 0o600,
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
  });
}

/** Value of one secret. Throws NotFound when the lab has none. */
export async function readSecret(paths: LabPaths, name: SecretName): Promise<string> {
  const text = await readText(paths.secret(name));
  if (text === null) throw new PgrFailure('NotFound', `the lab has no secret ${name}`, { hint: 'run `pgr lab up`' });
  return text.trim();
}
