/** A backup store in a directory, for tests of what uses a store: WAL as plain files, bases by pg_basebackup. */
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { readWalPageHeader } from '../../activities/backup-store/wal-page.js';
import type { BackupStore } from '../../activities/lib/backup-store.js';
import type { TransactionPoint, WindowResult } from '../../shared/contracts/plan.js';
import { isSegmentName } from '../../shared/timeline.js';

export type DirectoryStore = BackupStore & { walDir: string };

/** Program that takes a base: pg_basebackup into `<dir>/bases/<id>`, result from its manifest. */
const TAKE_BASE = `
const { execFileSync } = require('node:child_process');
const { readFileSync, writeFileSync, mkdirSync } = require('node:fs');
const spec = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const target = process.argv[3] + '/' + spec.id;
mkdirSync(process.argv[3], { recursive: true });
const c = spec.connection;
execFileSync(spec.binDir + '/pg_basebackup', ['-h', c.host, '-p', String(c.port), '-U', c.user, '-D', target, '-Ft', '-X', 'none', '-c', 'fast', '--no-password'], { stdio: 'inherit' });
const manifest = JSON.parse(readFileSync(target + '/backup_manifest', 'utf8'));
const range = manifest['WAL-Ranges'].at(-1);
writeFileSync(process.env.PGR_JOB_DIR + '/result.json', JSON.stringify({ id: spec.id, kind: spec.kind, timeline: range.Timeline, startLsn: range['Start-LSN'], stopLsn: range['End-LSN'], bytes: 1, rawBytes: 1, seconds: 1 }));
`;

/** The store of `dir`; `dir/wal` is where archive_command puts files. */
export async function createDirectoryStore(dir: string): Promise<DirectoryStore> {
  const walDir = path.join(dir, 'wal');
  const script = path.join(dir, 'take-base.cjs');
  await mkdir(walDir, { recursive: true });
  await mkdir(path.join(dir, 'abandoned'), { recursive: true });
  await writeFile(script, TAKE_BASE);
  const pausedFile = path.join(dir, 'paused');
  const store: DirectoryStore = {
    kind: 'directory',
    baseProof: 'nothing',
    takesBases: true,
    walDir,
    window: () => Promise.resolve(emptyWindow()),
    resolveTarget: () => Promise.reject(new Error('not in this store')),
    fetchCommand: () => [],
    takeBaseCommand: (specPath) => [script, specPath, path.join(dir, 'bases')],
    walPresence: (name) =>
      access(path.join(walDir, name)).then(
        () => 'found' as const,
        () => 'missing' as const,
      ),
    async systems() {
      const systems = new Set<string>();
      for (const name of (await readdir(walDir)).filter(isSegmentName)) {
        const header = readWalPageHeader(await readFile(path.join(walDir, name)));
        if (header !== null) systems.add(header.systemIdentifier);
      }
      return [...systems].sort();
    },
    lastCommit: () => Promise.resolve(null as TransactionPoint | null),
    async pause(run) {
      await writeFile(pausedFile, run);
      return { outcome: 'paused', note: '' };
    },
    async resume() {
      const was = await readFile(pausedFile).catch(() => null);
      await rm(pausedFile, { force: true });
      return { outcome: was === null ? 'nothing-to-do' : 'resumed', note: '' };
    },
    async abandonTimeline(timeline, run) {
      const known = await readdir(path.join(dir, 'abandoned'));
      if (known.includes(String(timeline))) return 'already-marked';
      await writeFile(path.join(dir, 'abandoned', String(timeline)), run);
      return 'marked';
    },
    check: () => Promise.resolve([{ check: 'store', expected: 'writable', actual: 'writable', ok: true }]),
  };
  return store;
}

function emptyWindow(): WindowResult {
  return {
    environment: 'lab',
    systemIdentifier: null,
    timeline: null,
    earliest: null,
    latest: null,
    lastCommit: null,
    bases: [],
    holes: [],
    warnings: [],
  };
}
