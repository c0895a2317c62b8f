/**
 * Proves through the write address that production accepts writes, on the node and the timeline that it should, and that no other node does.
 * The probe is rolled back; one heartbeat row is committed where the environment has heartbeats. May be repeated.
 */
import type pg from 'pg';

import type { EnvironmentConfig } from '../../config/schema.js';
import type { VerifyWritesInput, VerifyWritesResult } from '../../shared/contracts/promotion.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import { receivesWal } from '../lib/archive-duty.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { stepFailure } from '../lib/failure.js';
import { probeOthers } from './other-writers.js';
import { throughWriteAddress, type WriteTarget } from './multihost.js';
import { nodeOfSession } from './session-owner.js';

/** Clients of a multi-host address find the new primary at their next connection; a proxy needs a few checks. */
const FIND_TIMEOUT_MS = 30_000;

export function createVerifyWrites(deps: ActivityDeps) {
  return async function verifyWrites(input: VerifyWritesInput): Promise<VerifyWritesResult> {
    const environment = environmentOf(deps.config, input.environment);
    const startedAt = Date.now();
    const seen = await throughWriteAddress(deps, input.environment, FIND_TIMEOUT_MS, (client, target) =>
      probe(deps, client, target, environment),
    );
    const milliseconds = Date.now() - startedAt;
    const others = await probeOthers(deps, input.environment, seen.node);
    // A store that receives WAL itself needs no archive_mode.
    const isDone = seen.archiveMode !== 'off' || (await receivesWal(await deps.store(input.environment)));
    const checks = [...checksOf(input, seen, isDone), others];
    const failed = checks.filter((check) => !check.ok);
    if (failed.length === 0) return { node: seen.node ?? '', timeline: seen.timeline, milliseconds, checks };
    const facts = failed.map((check) => `${check.check}: expected ${check.expected}, found ${check.actual}`);
    throw stepFailure('EvidenceFailed', `the write address is not right: ${facts.join('; ')}`, {
      hint: 'see which node the write address leads to (`pgr check`), mend it, then `pgr retry`',
    });
  };
}

type Seen = {
  node: string | null;
  timeline: number;
  dataDir: string;
  rowsWritten: number;
  heartbeat: string;
  archiveMode: string;
};

async function probe(
  deps: ActivityDeps,
  client: pg.Client,
  target: WriteTarget,
  environment: EnvironmentConfig,
): Promise<Seen> {
  const rowsWritten = await writeAndRollBack(client);
  const { rows } = await client.query<{ timeline: number; dataDir: string; archive: string }>(
    `select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline,
            current_setting('data_directory') as "dataDir", current_setting('archive_mode') as archive`,
  );
  const { timeline = 0, dataDir = '', archive = '' } = rows[0] ?? {};
  const heartbeat = await beat(client, environment);
  const node = (await nodeOfSession(deps, environment, client)) ?? ownerOf(environment, target, dataDir);
  return { node, timeline, dataDir, rowsWritten, heartbeat, archiveMode: archive };
}

/** Makes the probe table where there is none; with the transaction it disappears again. */
async function writeAndRollBack(client: pg.Client): Promise<number> {
  await client.query('begin');
  try {
    await client.query("set local statement_timeout = '10s'");
    await client.query('create schema if not exists pgr');
    await client.query('create table if not exists pgr.write_probe (at timestamptz not null, source text not null)');
    const { rowCount } = await client.query("insert into pgr.write_probe values (clock_timestamp(), 'verify-writes')");
    return rowCount ?? 0;
  } finally {
    await client.query('rollback');
  }
}

/** A committed row: what a rolled back one does not show is a commit that waits for a synchronous standby. */
async function beat(client: pg.Client, environment: EnvironmentConfig): Promise<string> {
  if (!environment.heartbeat.enabled) return 'off';
  const { rows } = await client.query<{ there: boolean }>("select to_regclass('pgr.heartbeat') is not null as there");
  if (rows[0]?.there !== true) return 'no table';
  await client.query('begin');
  await client.query("set local statement_timeout = '10s'");
  await client.query("insert into pgr.heartbeat (at, source) values (clock_timestamp(), 'verify-writes')");
  await client.query('commit');
  return 'committed';
}

/** For a node that cannot be asked directly: by its own address when the write address names it, else by its data directory. */
function ownerOf(environment: EnvironmentConfig, target: WriteTarget, dataDir: string): string | null {
  const byAddress = environment.nodes.filter((node) => node.address === target.host && node.port === target.port);
  const byDataDir = environment.nodes.filter((node) => node.dataDir.replace(/\/+$/, '') === dataDir);
  const [only, ...more] = byAddress.length > 0 ? byAddress : byDataDir;
  return only === undefined || more.length > 0 ? null : only.name;
}

function checksOf(input: VerifyWritesInput, seen: Seen, isArchived: boolean): EvidenceCheck[] {
  const check = (name: string, expected: string, actual: string, ok: boolean): EvidenceCheck => ({
    check: name,
    expected,
    actual,
    ok,
  });
  const { node, timeline } = seen;
  return [
    check('write-probe', '1 row written', `${String(seen.rowsWritten)} written`, seen.rowsWritten === 1),
    check('write-owner', input.expectNode, node ?? `unknown (${seen.dataDir})`, node === input.expectNode),
    check('timeline', String(input.expectTimeline), String(timeline), timeline === input.expectTimeline),
    check('archive-mode', 'on, or not needed by the backup store', seen.archiveMode, isArchived),
    check('heartbeat', 'committed, where there are heartbeats', seen.heartbeat, true),
  ];
}
