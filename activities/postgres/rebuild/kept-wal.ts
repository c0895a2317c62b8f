/** Whether the WAL between rewound data and the stream that they will follow still exists. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import {
  historyName,
  parseHistory,
  segmentName,
  segmentNumberOf,
  type TimelineSwitch,
} from '../../../shared/timeline.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { connectNode } from '../connection.js';
import { requireControlData } from '../control-data.js';
import { namesIn } from '../data-directory.js';
import type { RebuildPlace } from './rebuild-place.js';

export type WalNeed = {
  /** Where the server will begin to replay. */
  startLsn: Lsn;
  /** From here on the slot of the standby keeps everything. */
  keptFrom: Lsn;
  timeline: number;
  switches: readonly TimelineSwitch[];
  walSegmentBytes: number;
};

/**
 * Name of the first segment that the data in the work directory need and that neither they nor the peer have; null when all is there. pg_rewind succeeds without it:
 * it copies what the peer still has, and a peer that made checkpoints since its promotion has recycled the rest, when no slot kept it. Such a standby would
 * wait for that segment for ever ("requested WAL segment has already been removed").
 */
export async function missingWal(deps: ActivityDeps, place: RebuildPlace, slot: string): Promise<string | null> {
  const { workDir, environment, plan } = place;
  const { walSegmentBytes, redoLsn } = await requireControlData(place.node.binDir, workDir);
  const startLsn = (await labelStart(workDir)) ?? redoLsn;
  const peer = await connectNode(deps, environment, plan.from.name, {}, (client) => readPeerWal(client, slot));
  const need = { startLsn, keptFrom: peer.keptFrom, timeline: peer.timeline, switches: peer.switches, walSegmentBytes };
  const present = new Set([...peer.names, ...((await namesIn(path.join(workDir, 'pg_wal'))) ?? [])]);
  return neededSegments(need).find((name) => !present.has(name)) ?? null;
}

/**
 * Segments from the start of replay up to what the slot keeps, each on the newest timeline that it may be of: behind a switch the server reads nothing of
 * the older one (XLogFileReadAnyTLI in src/backend/access/transam/xlogrecovery.c). Pure.
 */
export function neededSegments({ startLsn, keptFrom, timeline, switches, walSegmentBytes }: WalNeed): string[] {
  const numberOf = (lsn: Lsn): bigint => segmentNumberOf(lsn, walSegmentBytes);
  const names: string[] = [];
  for (let number = numberOf(startLsn); number < numberOf(keptFrom); number += 1n) {
    const left = switches.find(({ switchLsn }) => numberOf(switchLsn) > number);
    names.push(segmentName(left?.timeline ?? timeline, number, walSegmentBytes));
  }
  return names;
}

/** The first line of backup_label, which pg_rewind writes; null when there is none. */
async function labelStart(workDir: string): Promise<Lsn | null> {
  const text = await readFile(path.join(workDir, 'backup_label'), 'utf8').catch(() => '');
  const found = /^START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+)/.exec(text)?.[1];
  return found === undefined ? null : parseLsn(found);
}

type PeerWal = { names: string[]; timeline: number; keptFrom: Lsn; switches: TimelineSwitch[] };

/** With the functions that pg_rewind itself needs. */
async function readPeerWal(client: pg.Client, slot: string): Promise<PeerWal> {
  const { rows } = await client.query<{ names: string[]; timeline: string; kept: string }>(
    `select (select array_agg(name) from pg_ls_dir('pg_wal', true, false) name) as names,
            substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline,
            coalesce((select restart_lsn from pg_replication_slots where slot_name = $1), pg_current_wal_lsn())::text as kept`,
    [slot],
  );
  const [row] = rows;
  const keptFrom = parseLsn(row?.kept ?? '');
  if (row === undefined || keptFrom === null) throw stepFailure('Bug', 'the peer did not say what WAL it keeps');
  const timeline = Number.parseInt(row.timeline, 16);
  return { names: row.names, timeline, keptFrom, switches: await readSwitches(client, timeline) };
}

async function readSwitches(client: pg.Client, timeline: number): Promise<TimelineSwitch[]> {
  if (timeline === 1) return [];
  const { rows } = await client.query<{ text: string }>(
    "select convert_from(pg_read_binary_file('pg_wal/' || $1), 'UTF8') as text",
    [historyName(timeline)],
  );
  const switches = parseHistory(rows[0]?.text ?? '');
  if (switches === null)
    throw stepFailure('WalCorrupt', `${historyName(timeline)} of the peer is not a timeline history`);
  return switches;
}
