/**
 * What one rebuild has done so far, in the worker's state directory: a killed attempt leaves it, the next one goes on from it. Files that look whole
 * say nothing about a rewind that was cut half-way; this does.
 */
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import type { RebuildMethod } from '../../../shared/contracts/rebuild.js';
import { stepFailure } from '../../lib/failure.js';
import { readTextIfThere, replaceFile } from '../data-directory.js';
import type { RebuildPlace } from './rebuild-place.js';

/**
 * `preparing`: new data are being made; `ready`: they are whole, in the work directory; `moving`: old data go out of the data directory; `moved`:
 * they are out, new ones go in; `done`: new data stand in their place; `streaming`: the standby was seen to follow; `returning`, `returned`: undo.
 */
type RebuildStage = 'preparing' | 'ready' | 'moving' | 'moved' | 'done' | 'streaming' | 'returning' | 'returned';

export type RebuildState = {
  api: 1;
  environment: string;
  node: string;
  run: string;
  runId: string;
  stage: RebuildStage;
  method: RebuildMethod;
  /** Every try has jobs of its own, so that none works on what another one left. */
  attempt: number;
  /** The work directory was emptied for this try (or holds the old data, for a rewind): its jobs may start. */
  prepared: boolean;
  /** A rewind began on the data in the work directory. They are not a cluster until it is done. */
  rewinding: boolean;
  startedAt: string;
  bytes: number;
  notes: string[];
};

export async function readState(place: RebuildPlace): Promise<RebuildState | null> {
  const text = await readTextIfThere(place.stateFile);
  if (text === null) return null;
  const state = parseState(text);
  if (state?.runId === place.runId) return state;
  throw stepFailure('PreconditionFailed', `${place.stateFile} is damaged: it should say how far the rebuild came`, {
    hint: `the safety copy ${place.plan.safetyCopy.name} has the old data: \`pgr undo\``,
  });
}

/** Writes the state, durably, before the deed that it speaks of. */
export async function writeState(place: RebuildPlace, state: RebuildState): Promise<RebuildState> {
  await mkdir(path.dirname(place.stateFile), { recursive: true, mode: 0o711 });
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  await replaceFile(place.stateFile, `${JSON.stringify(state, null, 2)}\n`, self);
  return state;
}

export function freshState(place: RebuildPlace): RebuildState {
  return {
    api: 1,
    environment: place.environment,
    node: place.node.name,
    run: place.run,
    runId: place.runId,
    stage: 'preparing',
    method: place.plan.method,
    attempt: 1,
    prepared: false,
    rewinding: false,
    startedAt: new Date().toISOString(),
    bytes: 0,
    notes: [],
  };
}

/** Run ids of rebuilds of a node on this host that are not over: their safety copies are still needed. */
export async function unfinishedRuns(stateDir: string, environment: string, node: string): Promise<Set<string>> {
  const dir = path.join(stateDir, 'rebuilds');
  const names = await readdir(dir).catch(() => []);
  const states = await Promise.all(
    names.filter((name) => name.endsWith('.json')).map((name) => readTextIfThere(path.join(dir, name))),
  );
  const running = states
    .map((text) => (text === null ? null : parseState(text)))
    .filter((state) => state !== null && state.environment === environment && state.node === node)
    .filter((state) => state !== null && state.stage !== 'streaming' && state.stage !== 'returned');
  return new Set(running.map((state) => state?.runId ?? ''));
}

function parseState(text: string): RebuildState | null {
  try {
    const value = JSON.parse(text) as Partial<RebuildState> | null;
    return value?.api === 1 && typeof value.stage === 'string' ? (value as RebuildState) : null;
  } catch {
    return null;
  }
}
