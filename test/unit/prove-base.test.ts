/** Scenario: a base was unpacked, and what lies there is not what its description says. Verified: no server may be started from it, and the reason is said. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { BaseHeader } from '../../activities/backup-store/base-catalog.js';
import { proveBase } from '../../activities/backup-store/prove-base.js';

const SYSTEM = '7710437938376671444';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-prove-'));
  await mkdir(path.join(dir, 'global'));
  await writeFile(path.join(dir, 'PG_VERSION'), '18\n');
  await writeFile(path.join(dir, 'backup_label'), 'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n');
  await control(SYSTEM);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function control(system: string): Promise<void> {
  const bytes = Buffer.alloc(8192);
  bytes.writeBigUInt64LE(BigInt(system), 0);
  await writeFile(path.join(dir, 'global', 'pg_control'), bytes);
}

function prove(backupLabel: string | null = null): void {
  const header = { id: '20261121T030000', postgresMajor: 18, systemIdentifier: SYSTEM } as BaseHeader;
  proveBase({ dir, owner: null, header, source: 'backup.info', backupLabel });
}

const corrupt = (message: RegExp) =>
  expect.objectContaining({ type: 'BackupCorrupt', message: expect.stringMatching(message) as string }) as unknown;

test('a base that is what its description says passes', () => {
  expect(() => {
    prove();
  }).not.toThrow();
});

test.each([
  ['of another system', () => control('1'), /pg_control is of system 1, backup.info says 77104/],
  [
    'of another major version',
    () => writeFile(path.join(dir, 'PG_VERSION'), '17\n'),
    /PG_VERSION is 17, backup.info says 18/,
  ],
  ['without its version', () => rm(path.join(dir, 'PG_VERSION')), /PG_VERSION is missing/],
  ['without its control file', () => rm(path.join(dir, 'global', 'pg_control')), /pg_control is missing/],
  ['without a label', () => rm(path.join(dir, 'backup_label')), /there is no backup_label/],
])('a base %s is refused', async (_title, spoil, message) => {
  await spoil();
  const attempt = (): unknown => {
    try {
      prove();
    } catch (error) {
      return error;
    }
    return null;
  };
  expect(attempt()).toEqual(corrupt(message));
});

test('a label that is only in the description is put where the server looks for it', async () => {
  await rm(path.join(dir, 'backup_label'));
  prove('START WAL LOCATION: 0/3000028\n');
  expect(await readFile(path.join(dir, 'backup_label'), 'utf8')).toBe('START WAL LOCATION: 0/3000028\n');
});
