/**
 * Barman's receiver (pg_receivewal) follows the server by what lies in its directory, and its slot lives in the server. After a recovery both are of the
 * history that was given up: the new cluster has no slot, and a `.partial` behind the fork makes the receiver ask for WAL that no server has. Right when run
 * again: what works is left alone.
 */
import path from 'node:path';

import { parseSegmentName } from '../../../shared/timeline.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
import { checkArgs, createSlotArgs, cronArgs, showServerArgs, stopReceivingArgs } from './commands.js';
import { parseCheck, parseServer, type ShownServer } from './answers.js';
import { linesOf } from './check.js';
import type { BarmanPlaces } from './places.js';

export type StreamingResult = {
  outcome: 'already-streaming' | 'streaming' | 'not-by-streaming' | 'server-down';
  note: string;
};

/** The receiver starts within two seconds or ends with what the server refuses. */
const START_MS = 10_000;
const LAST_TRY_MS = 30_000;
const LOOK_EVERY_MS = 500;

/** Brings WAL streaming back. Throws ArchiveFailing with what `barman check` says when it does not come. */
export async function resumeStreaming(places: BarmanPlaces): Promise<StreamingResult> {
  const { barman } = places;
  const server = await showServer(places);
  if (server.streaming_archiver !== true || !server.streaming_wals_directory) {
    return { outcome: 'not-by-streaming', note: 'wal comes by the archive_command of the server' };
  }
  const { connection_error: problem } = server;
  if (typeof problem === 'string' && problem !== '') {
    const why = problem.trim().replaceAll('\n', ' ');
    return { outcome: 'server-down', note: `barman cannot reach the server, its cron tries on: ${why}` };
  }
  if (await isStreaming(places)) return { outcome: 'already-streaming', note: 'the receiver follows the server' };
  const notes: string[] = [];
  const { slot_name: slot } = server;
  if (slot && !server.replication_slot) {
    await barman.run(createSlotArgs(barman.config.server));
    notes.push(`slot ${slot} made`);
  }
  await barman.run(cronArgs());
  if (!(await waitForStreaming(places, START_MS))) {
    notes.push(...(await setPartialsAside(places, server)));
    await barman.run(cronArgs());
    if (!(await waitForStreaming(places, LAST_TRY_MS))) throw await notStreaming(places);
  }
  return { outcome: 'streaming', note: ['the receiver follows the server', ...notes].join('; ') };
}

/** True when Barman gets its WAL by streaming (also, or only). */
export async function receivesByStreaming(places: BarmanPlaces): Promise<boolean> {
  return (await showServer(places)).streaming_archiver === true;
}

/** Asked anew: slot, position and connection change. */
async function showServer({ barman }: BarmanPlaces): Promise<ShownServer> {
  return parseServer(await barman.ask(showServerArgs(barman.config.server)), barman.config.server);
}

/** The slot is in use, and the segment that the server writes to is being received, on its timeline. */
async function isStreaming(places: BarmanPlaces): Promise<boolean> {
  const server = await showServer(places);
  const current = parseSegmentName(server.current_xlog ?? '');
  if (current === null || !server.streaming_wals_directory) return false;
  // Barman shows the slot as Python prints it: Record(slot_name='barman', active=True, …)
  if (server.slot_name && !String(server.replication_slot).includes('active=True')) return false;
  const files = await places.files.list(server.streaming_wals_directory, '');
  return files.some(({ name }) => {
    const received = name.endsWith('.partial') ? parseSegmentName(name.slice(0, 24)) : null;
    return received !== null && received.timeline === current.timeline && received.number >= current.number;
  });
}

async function waitForStreaming(places: BarmanPlaces, timeoutMs: number): Promise<boolean> {
  const found = await pollUntil(async () => ((await isStreaming(places)) ? true : null), {
    timeoutMs,
    everyMs: LOOK_EVERY_MS,
  });
  return found !== null;
}

/**
 * What was received last of the old history goes into the archive under its own name, where a recovery to that history finds it. `barman receive-wal --reset`
 * would remove it, and refuses when the server went back to an older timeline. Without it the receiver begins where the slot does.
 */
async function setPartialsAside({ barman, files }: BarmanPlaces, server: ShownServer): Promise<string[]> {
  await barman.run(stopReceivingArgs(barman.config.server));
  const found = await files.list(server.streaming_wals_directory ?? '', '');
  const notes: string[] = [];
  for (const file of found.filter(({ name }) => name.endsWith('.partial'))) {
    const folder = path.posix.join(server.wals_directory, file.name.slice(0, 16));
    await barman.runThere(['mkdir', '-p', '--', folder]);
    const moved = await barman.runThere(['mv', '--backup=numbered', '--', file.path, folder]);
    if (moved.exitCode !== 0) {
      throw stepFailure('ArchiveFailing', `cannot move ${file.path} into ${folder}: ${moved.stderr.trim()}`);
    }
    notes.push(`${file.name} of the old history moved into the archive`);
  }
  return notes;
}

async function notStreaming({ barman }: BarmanPlaces): Promise<Error> {
  const { server } = barman.config;
  const failed = linesOf(
    parseCheck(await barman.ask(checkArgs(server), { timeoutMs: 120_000 }), server),
    server,
  ).filter(({ ok }) => !ok);
  const said = failed.map(({ check, actual }) => `${check} ${actual}`).join(' | ');
  return stepFailure('ArchiveFailing', `barman does not receive the wal of ${server}: ${said}`, {
    hint: `run \`barman receive-wal ${server}\` by hand to see why, then \`pgr retry\``,
  });
}
