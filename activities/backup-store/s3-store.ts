/** The backup store of kind `s3`: our own layout in a bucket (docs/architecture.md section 10). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { S3StoreConfig } from '../../config/schema.js';
import { isHistoryName } from '../../shared/timeline.js';
import type { BackupStore, WalPresence } from '../lib/backup-store.js';
import type { ProgramPaths } from '../lib/deps.js';
import { archiveSystems } from './archive-systems.js';
import { listBases } from './base-catalog.js';
import { lastCommit } from './last-commit.js';
import { resolveTarget } from './resolve-target.js';
import { readCredentials } from './s3-access.js';
import { createObjectStore, type ObjectStore } from './s3-objects.js';
import { parseWalObjectName } from './wal-archive.js';
import { computeWindow } from './window.js';

export type S3StoreInput = {
  config: S3StoreConfig;
  environment: string;
  resolveSecret: (reference: string) => Promise<string>;
  program: ProgramPaths;
};

const ABANDONED_PREFIX = 'abandoned/';

/** The store of an environment. Throws CredentialsRefused when a secret cannot be read; the bucket itself is not asked yet. */
export async function createS3Store(input: S3StoreInput): Promise<BackupStore> {
  const { config, environment, program } = input;
  const objects = createObjectStore(config, await readCredentials(config, input.resolveSecret));
  const context = { objects, walPrefix: config.walPrefix };
  return {
    kind: 's3',
    baseProof: 'SHA-256 of every chunk and the file list of the base, checked while it was fetched',
    takesBases: true,
    window: (request) => computeWindow(context, request),
    resolveTarget: (request) => resolveTarget(context, request),
    lastCommit: (request) => lastCommit(context, request),
    fetchCommand: jobCommand(program, environment, 'mover'),
    takeBaseCommand: jobCommand(program, environment, 'take-base'),
    walPresence: (name) => walPresence(objects, config.walPrefix, name),
    systems: () => archiveSystems(context),
    // Nothing runs on the side of the store: servers push their WAL, and bases are taken when somebody asks.
    pause: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'wal is pushed by the servers themselves' }),
    resume: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'wal is pushed by the servers themselves' }),
    abandonTimeline: (timeline, run) => abandonTimeline(objects, timeline, run),
    check: () => checkStore(objects, config),
  };
}

/** Arguments (after `node`) of one of our programs that runs as a job, for a specification. */
export function jobCommand(
  { distDir, configPath }: ProgramPaths,
  environment: string,
  name: string,
): (specPath: string) => string[] {
  return (specPath) => [programFile(distDir, name), '--config', configPath, '--environment', environment, specPath];
}

/** The single-file build of a program (it starts several times faster), else the plain one. */
export function programFile(distDir: string, name: string): string {
  const bundle = join(distDir, `${name}.cjs`);
  return existsSync(bundle) ? bundle : join(distDir, 'workers', `${name}.js`);
}

/** Whether the archive has a file of that plain name, in any compression. */
async function walPresence(objects: ObjectStore, walPrefix: string, name: string): Promise<WalPresence> {
  const found = await objects.list(walPrefix + name);
  return found.some(({ key }) => parseWalObjectName(key.slice(walPrefix.length))?.name === name) ? 'found' : 'missing';
}

async function abandonTimeline(
  objects: ObjectStore,
  timeline: number,
  run: string,
): Promise<'marked' | 'already-marked'> {
  const name = timeline.toString(16).toUpperCase().padStart(8, '0');
  const body = Buffer.from(`${JSON.stringify({ api: 1, timeline, run })}\n`);
  const answer = await objects.put(`${ABANDONED_PREFIX}${name}.json`, body, { ifAbsent: true });
  return answer === 'written' ? 'marked' : 'already-marked';
}

/** What `pgr check` says about the store itself. */
async function checkStore(
  objects: ObjectStore,
  config: S3StoreConfig,
): Promise<Awaited<ReturnType<BackupStore['check']>>> {
  const where = `${config.bucket} at ${config.endpoint ?? 's3.amazonaws.com'}`;
  const bases = await describe(async () => `${String((await listBases(objects)).length)} bases`);
  const wal = await describe(async () => {
    const files = await objects.list(config.walPrefix);
    const segments = files.filter(({ key }) => {
      const parsed = parseWalObjectName(key.slice(config.walPrefix.length));
      return parsed !== null && !isHistoryName(parsed.name);
    });
    return `${String(segments.length)} wal files`;
  });
  return [
    { check: 'bases-listed', expected: `bases of ${where} can be read`, ...bases },
    { check: 'wal-listed', expected: `wal of ${where} can be read`, ...wal },
  ];
}

async function describe(read: () => Promise<string>): Promise<{ actual: string; ok: boolean }> {
  try {
    return { actual: await read(), ok: true };
  } catch (error) {
    return { actual: error instanceof Error ? error.message : String(error), ok: false };
  }
}
