/** Brings the dump of a plan to the machine of the developer, unless it is there, and says what it is. On a retry: goes on with what is there. */
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import type { DevDumpFile, DevPlan, DevStepInput, FetchDevDumpResult } from '../../../shared/contracts/dev.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { currentActivity } from '../../lib/cancellation.js';
import { stepFailure } from '../../lib/failure.js';
import { createProgressReporter } from '../../lib/heartbeat.js';
import { pathExists } from '../data-directory.js';
import { fileKindOf, HEAD_BYTES } from '../dump/formats.js';
import { identifyDump, sqlOf } from '../dump/read-dump.js';
import { openArchive } from './archive.js';
import { cacheOf, KEPT_DUMPS } from './dump-cache.js';

type Deps = Pick<ActivityDeps, 'config' | 'dumpSource'>;
type Compression = Parameters<typeof sqlOf>[0]['compression'];

/** Throws BackupCorrupt for what is no whole dump, and what the source throws. */
export function createFetchDevDump(deps: Deps) {
  return async function fetchDevDump({ plan }: DevStepInput): Promise<FetchDevDumpResult> {
    const startedMs = Date.now();
    const there = await pathExists(plan.path);
    if (!there) await fetchInto(deps, plan);
    const file = await readFacts(await unpacked(deps, plan));
    return { outcome: there ? 'already-there' : 'fetched', file, seconds: (Date.now() - startedMs) / 1_000 };
  };
}

async function fetchInto({ dumpSource, config }: Deps, plan: DevPlan): Promise<void> {
  if (dumpSource === undefined) throw stepFailure('Bug', 'this worker has no sources of dumps');
  const source = await dumpSource(plan.environment, plan.source);
  const cache = cacheOf(config.stateDir, plan.environment, plan.source);
  await mkdir(path.dirname(plan.path), { recursive: true, mode: 0o700 });
  await dropOld(cache, path.basename(path.dirname(plan.path)));
  const reporter = createProgressReporter();
  await source.fetch(plan.dump, plan.path, (done) => {
    currentActivity()?.cancellationSignal.throwIfAborted();
    void reporter.beat(() => Promise.resolve({ done, total: plan.dump.bytes, unit: 'bytes' })).catch(() => undefined);
  });
}

/** The oldest go first; the one that is fetched now counts. */
async function dropOld(cache: string, now: string): Promise<void> {
  const names = (await readdir(cache)).filter((name) => name !== now);
  const dated = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(path.join(cache, name))).mtimeMs })),
  );
  const old = dated.sort((a, b) => b.at - a.at).slice(KEPT_DUMPS - 1);
  for (const { name } of old) await rm(path.join(cache, name), { recursive: true, force: true });
}

/** An archive that was compressed once more is unpacked: its tables are read in any order. */
async function unpacked({ config }: Deps, plan: DevPlan): Promise<string> {
  if ((await stat(plan.path)).isDirectory()) return plan.path;
  const compression = await compressionOf(plan.path);
  if (compression === 'none' || (await insideOf(plan.path, compression)).kind !== 'archive') return plan.path;
  const dir = path.join(cacheOf(config.stateDir, plan.environment, plan.source), `unpacked-${plan.hash.slice(0, 12)}`);
  const to = path.join(dir, 'dump');
  if (await pathExists(to)) return to;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const handle = await open(`${to}.tmp`, 'w', 0o600);
  try {
    for await (const piece of sqlOf({ path: plan.path, compression })) await handle.writeFile(piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${to}.tmp`, to);
  return to;
}

async function compressionOf(file: string): Promise<Compression> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const kind = fileKindOf(buffer.subarray(0, bytesRead));
    return kind.kind === 'compressed' ? kind.compression : 'none';
  } finally {
    await handle.close();
  }
}

async function insideOf(file: string, compression: Compression): Promise<ReturnType<typeof fileKindOf>> {
  const pieces: Buffer[] = [];
  for await (const piece of sqlOf({ path: file, compression })) {
    pieces.push(piece);
    if (pieces.reduce((sum, one) => sum + one.length, 0) >= HEAD_BYTES) break;
  }
  return fileKindOf(Buffer.concat(pieces));
}

/** What the dump is; an archive that is cut off is found here, before anything is made of it. */
async function readFacts(file: string): Promise<DevDumpFile> {
  const { format, compression, bytes } = await identifyDump(file);
  if (format === 'plain' || format === 'tar') return { path: file, format, compression, bytes, whole: true };
  const archive = await openArchive(file);
  try {
    const rows = archive.toc.entries.filter(({ desc }) => desc === 'TABLE DATA');
    return { path: file, format, compression, bytes, whole: rows.some(({ copySql }) => copySql.trim() === '') };
  } finally {
    await archive.close();
  }
}
