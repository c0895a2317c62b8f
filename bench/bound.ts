/**
 * (d) The bound: mover and server alone. No plan, no guard, no check: the server starts as soon as the base is there, with the sandbox's own
 * settings and restore script, and its pause is waited for.
 */
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { baseRef } from '../activities/backup-store/base-chain.js';
import { programFile } from '../activities/backup-store/s3-store.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { CONFIG_TEXT, IDENT_TEXT, hbaText, restoreScriptText } from '../activities/postgres/sandbox/files.js';
import { sandboxArguments } from '../activities/postgres/sandbox/settings.js';
import type { RecoveryPlan } from '../shared/contracts/plan.js';
import type { RestoreBaseResult } from '../shared/contracts/sandbox.js';
import { proveTarget, seconds, untilPaused, type Measured } from './measured.js';
import { ended, freePorts, startProgram, watchPeakMemory } from './processes.js';
import { BENCH_ENVIRONMENT, SHARED_BUFFERS, fileText, secretEnvironment, type Bench } from './setup.js';

/** Measures it once. */
export async function measureBound(bench: Bench): Promise<Measured> {
  const { user, binDir, distDir, configPath } = bench;
  const dir = path.join(bench.dir, 'bound');
  const jobDir = path.join(dir, 'job');
  const log = path.join(dir, 'server.log');
  await mkdir(jobDir, { recursive: true, mode: 0o700 });
  if (user !== null) await chown(dir, user.uid, user.gid);
  const [port = 0] = await freePorts(1);
  const started = performance.now();
  const spec = fetchSpecOf(bench, dir);
  const specPath = path.join(dir, 'fetch.json');
  await writeFile(specPath, JSON.stringify(spec));
  const args = [programFile(distDir, 'mover'), '--config', configPath, '--environment', BENCH_ENVIRONMENT, specPath];
  const mover = startProgram(process.execPath, args, path.join(dir, 'mover.log'), {
    env: { ...secretEnvironment(), PGR_JOB_DIR: jobDir },
  });
  const peak = watchPeakMemory(mover);
  const serverArgs = await writeServerFiles(bench, dir, spec, port);
  while (!existsSync(path.join(jobDir, 'base-done'))) {
    if (mover.exitCode !== null)
      throw new Error(`the mover ended: ${await fileText(path.join(jobDir, 'result.json'))}`);
    await sleep(5);
  }
  const dataDir = spec.baseDirs[0] ?? '';
  await writeFile(path.join(dataDir, 'recovery.signal'), '');
  const restoreSeconds = seconds(started);
  const server = startProgram(path.join(binDir, 'postgres'), ['-D', dataDir, ...serverArgs], log, { user });
  try {
    await untilPaused(port, server, log);
    const totalSeconds = seconds(started);
    await proveTarget(port);
    await ended(mover);
    const result = JSON.parse(await fileText(path.join(jobDir, 'result.json'))) as RestoreBaseResult;
    const replaySeconds = totalSeconds - restoreSeconds;
    return { restoreSeconds, replaySeconds, totalSeconds, bytes: result.fetchedBytes, peakMemoryBytes: peak() };
  } finally {
    server.kill('SIGQUIT');
    await Promise.all([ended(server), ended(mover)]);
    await rm(dir, { recursive: true, force: true });
  }
}

function fetchSpecOf(bench: Bench, dir: string): FetchSpec {
  const { wal, base, user } = bench;
  return {
    environment: BENCH_ENVIRONMENT,
    baseIds: [base.id],
    baseDirs: [path.join(dir, 'base-0')],
    wal: {
      timeline: 1,
      firstSegment: wal.first,
      lastSegment: wal.last,
      walSegmentBytes: base.walSegmentBytes,
      dir: path.join(dir, 'wal'),
    },
    owner: user === null ? null : { uid: user.uid, gid: user.gid },
  };
}

/** The files that `prepare-sandbox` makes, and the arguments of the server. */
async function writeServerFiles(bench: Bench, dir: string, spec: FetchSpec, port: number): Promise<string[]> {
  const { wal, base, target } = bench;
  const { firstSegment, lastSegment } = spec.wal;
  const fetch = { baseBytes: 0, walBytes: 0, walSegments: wal.count, firstSegment, lastSegment };
  const plan: RecoveryPlan = {
    environment: BENCH_ENVIRONMENT,
    target: { kind: 'lsn', value: target.lsn },
    timeline: 1,
    stop: { kind: 'lsn', lsn: target.lsn, inclusive: false },
    boundary: { kept: null, dropped: null },
    lost: { commits: 0, exact: true, seconds: 0, until: null },
    baseChain: [baseRef(base)],
    fetch,
    replayBytes: 0,
    space: { path: dir, needBytes: 0, availableBytes: 0 },
    estimate: { restoreSeconds: 0, replaySeconds: 0, totalSeconds: 0 },
    systemIdentifier: base.systemIdentifier,
    postgresMajor: base.postgresMajor,
    walSegmentBytes: base.walSegmentBytes,
    minimumSettings: base.settings,
    host: 'here',
    warnings: [],
    hash: '',
  };
  const file = (name: string): string => path.join(dir, name);
  const files = {
    configFile: file('postgresql.conf'),
    hbaFile: file('pg_hba.conf'),
    identFile: file('pg_ident.conf'),
    restoreScript: file('restore-wal.sh'),
  };
  const script = restoreScriptText({ spoolDir: spec.wal.dir, completeFile: file('wal-complete'), plan });
  const texts: [string, string][] = [
    [files.configFile, CONFIG_TEXT],
    [files.hbaFile, hbaText(false)],
    [files.identFile, IDENT_TEXT],
    [files.restoreScript, script],
  ];
  for (const [name, text] of texts) {
    await writeFile(name, text, { mode: 0o755 });
    if (bench.user !== null) await chown(name, bench.user.uid, bench.user.gid);
  }
  await chmod(dir, 0o755);
  const more = { port, socketDir: '', sharedBuffers: SHARED_BUFFERS, sandbox: 'bench', preloadLibraries: [] };
  return sandboxArguments({ plan, ...files, ...more });
}
