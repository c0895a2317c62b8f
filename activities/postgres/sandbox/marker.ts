/**
 * The marker of a sandbox directory says whose it is. Nothing is written, started or removed in a directory without the right one
 * (invariant 1), and it is replaced as a whole, so that a crash leaves the old one or the new one.
 */
import { z } from 'zod';

import type { SandboxRef, SandboxState } from '../../../shared/contracts/sandbox.js';
import { stepFailure } from '../../lib/failure.js';
import { ownerOf, readTextIfThere, replaceFile, replaceFileUnflushed } from '../data-directory.js';
import type { SandboxPlace } from './place.js';

const markerSchema = z.object({
  api: z.literal(1),
  environment: z.string(),
  run: z.string(),
  runId: z.string(),
  sandbox: z.string(),
  systemIdentifier: z.string(),
  createdAt: z.string(),
  /** A dump was restored here: no recovery, no base. Left out: a base and WAL. */
  origin: z.literal('dump').optional(),
  state: z.enum([
    'prepared',
    'restored',
    'replaying',
    'paused',
    'stopped',
    'promoting',
    'promoted',
    'handed-over',
    'discarded',
    'tainted',
    'unknown',
  ] satisfies SandboxState[]),
  port: z.int(),
  socketDir: z.string(),
  planHash: z.string(),
  /** Boot of the host in which the files were brought. Nothing of them is flushed before a promotion, so in another boot they may be holes. */
  boot: z.string(),
  /** The server ran at least once. */
  started: z.boolean(),
  /** What was proven of the bases when they were fetched. */
  baseProof: z.string().optional(),
  /** How the data came together, and what proved it. */
  combined: z
    .object({
      method: z.enum(['clone', 'copy-file-range', 'link', 'copy', 'rename']),
      verifiedBy: z.string(),
      seconds: z.number(),
    })
    .nullable(),
  /** Written by the promotion that stops the sandbox: where replay stood, and whether all data reached the disk since. */
  promotion: z.object({ runId: z.string(), replayLsn: z.string(), synced: z.boolean() }).optional(),
});

export type SandboxMarker = z.output<typeof markerSchema>;

/** The marker in this directory; null when there is none. One that cannot be read throws SandboxNotOurs: it is not "none". */
export async function readMarker(place: SandboxPlace): Promise<SandboxMarker | null> {
  const text = await readTextIfThere(place.markerFile);
  if (text === null) return null;
  const parsed = markerSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw stepFailure('SandboxNotOurs', `${place.markerFile} is not a marker of pgr`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** True when the marker is of exactly this sandbox of this run. */
export function isOurs(marker: SandboxMarker, ref: SandboxRef): boolean {
  return (
    marker.environment === ref.environment &&
    marker.run === ref.run &&
    marker.runId === ref.runId &&
    marker.sandbox === ref.sandbox
  );
}

/** The marker of our sandbox. Throws NotFound when there is none, SandboxNotOurs when it is of another run. */
export async function requireMarker(place: SandboxPlace): Promise<SandboxMarker> {
  const marker = await readMarker(place);
  if (marker === null) {
    throw stepFailure('NotFound', `there is no sandbox in ${place.dir}`, {
      hint: 'it was discarded or never prepared; start `pgr pitr` again',
    });
  }
  if (!isOurs(marker, place.ref)) throw notOurs(place, marker);
  return marker;
}

/** The refusal to touch the sandbox of somebody else. */
export function notOurs(place: SandboxPlace, marker: SandboxMarker): Error {
  return stepFailure('SandboxNotOurs', `${place.dir} belongs to run ${marker.run} (${marker.runId})`);
}

/** Replaces the marker, durably. */
export async function writeMarker(place: SandboxPlace, marker: SandboxMarker): Promise<SandboxMarker> {
  await replaceFile(place.markerFile, textOf(marker), await ownerOf(place.dir));
  return marker;
}

/**
 * Changes some fields of our marker (read again, so that nothing older comes back) and returns the new one. What only says how far the work is
 * is not flushed: a host that crashed starts another boot, and then `boot` decides.
 */
export async function changeMarker(
  place: SandboxPlace,
  change: Partial<
    Pick<
      SandboxMarker,
      'state' | 'port' | 'boot' | 'started' | 'baseProof' | 'combined' | 'systemIdentifier' | 'planHash'
    >
  >,
): Promise<SandboxMarker> {
  const marker = { ...(await requireMarker(place)), ...change };
  if (change.state === 'tainted' || change.state === 'discarded' || change.boot !== undefined) {
    return writeMarker(place, marker);
  }
  await replaceFileUnflushed(place.markerFile, textOf(marker), await ownerOf(place.dir));
  return marker;
}

function textOf(marker: SandboxMarker): string {
  return `${JSON.stringify(marker, null, 2)}\n`;
}

/** Refuses to work on a sandbox that is on its way into production or was opened for writes. */
export function refuseUnlessThrowaway(place: SandboxPlace, marker: SandboxMarker): void {
  if (marker.state === 'handed-over') {
    throw stepFailure('PreconditionFailed', `the cluster in ${place.dir} was handed over: it is not ours any more`, {
      hint: 'nothing was touched; `pgr show` of its run says how it becomes production',
    });
  }
  if (marker.state === 'promoting' || marker.state === 'promoted') {
    throw stepFailure('PreconditionFailed', `the sandbox in ${place.dir} is ${marker.state}: it is production's data`, {
      hint: 'nothing was touched; `pgr runs` shows the promotion',
    });
  }
  if (marker.state === 'discarded') {
    throw stepFailure('NotFound', `the sandbox in ${place.dir} was discarded`, { hint: 'start `pgr pitr` again' });
  }
}

/** The failure of a sandbox that is no faithful image of T any more. */
export function tainted(place: SandboxPlace, why: string): Error {
  return stepFailure('SandboxTainted', `the sandbox in ${place.dir} cannot be trusted: ${why}`);
}
