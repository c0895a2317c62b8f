/** What the files of a job directory say about the job. They are its only state: any worker reads the same. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { readBootId } from '../lib/boot-id.js';
import { isAlive, type ProcessIdentity } from '../lib/process-identity.js';

export type Claim = {
  generation: number;
  /** The command itself. */
  command: ProcessIdentity;
  /** Its parent, leader of the session and process group; it writes the exit file. */
  wrapper: ProcessIdentity;
  claimedAtMs: number;
};

export type JobState =
  | { kind: 'absent' }
  | { kind: 'running'; claim: Claim }
  | { kind: 'ended'; claim: Claim; code: number; endedAtMs: number }
  /** Command and wrapper are gone and left no exit file: killed, or the host went down. */
  | { kind: 'lost'; claim: Claim };

/** Reads the state of the job in `dir`. */
export async function readJobState(dir: string): Promise<JobState> {
  const generation = await lastGeneration(dir);
  if (generation === 0) return { kind: 'absent' };
  const found = await readClaim(dir, generation);
  if (found === null) return { kind: 'absent' };
  // Liveness before the exit file: a wrapper that is gone has written everything that it was ever going to write.
  const living = await isClaimAlive(found);
  const ended = await readExit(dir, found.claim);
  if (ended !== null) return ended;
  return { kind: living ? 'running' : 'lost', claim: found.claim };
}

/** Number of the next claim: one more than the last one, whatever became of it. */
export async function nextGeneration(dir: string): Promise<number> {
  return (await lastGeneration(dir)) + 1;
}

async function lastGeneration(dir: string): Promise<number> {
  const names = await readdir(dir).catch(() => []);
  const generations = names.map((name) => /^claim-(\d+)$/.exec(name)?.[1]).map((text) => Number(text ?? 0));
  return Math.max(0, ...generations);
}

type FoundClaim = { claim: Claim; bootId: string };

async function readClaim(dir: string, generation: number): Promise<FoundClaim | null> {
  const file = path.join(dir, `claim-${String(generation)}`);
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return null;
  const [pid = '', startedAt = '', wrapperPid = '', wrapperStartedAt = '', bootId = '-'] = text.split('\n');
  return {
    claim: {
      generation,
      command: { pid: Number(pid), startedAt },
      wrapper: { pid: Number(wrapperPid), startedAt: wrapperStartedAt },
      claimedAtMs: (await stat(file)).mtimeMs,
    },
    bootId,
  };
}

/** The same pid and start mark after a reboot is another process: Linux counts start marks from boot. */
async function isClaimAlive(found: FoundClaim): Promise<boolean> {
  if (found.bootId !== '-' && found.bootId !== (await readBootId())) return false;
  return (await isAlive(found.claim.wrapper)) || (await isAlive(found.claim.command));
}

async function readExit(dir: string, claim: Claim): Promise<JobState | null> {
  const file = path.join(dir, 'exit');
  const text = await readFile(file, 'utf8').catch(() => null);
  const match = /^(\d+) (\d+)\n$/.exec(text ?? '');
  // An exit file that a power cut left empty, or of an earlier generation, says nothing about this claim.
  if (match === null || Number(match[1]) !== claim.generation) return null;
  return { kind: 'ended', claim, code: Number(match[2]), endedAtMs: (await stat(file)).mtimeMs };
}
