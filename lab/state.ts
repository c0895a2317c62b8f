/** What a lab knows of itself between commands: `lab.json`, and the marker without which `lab destroy` touches nothing. */
import { randomUUID } from 'node:crypto';

import { PgrFailure } from '../shared/pgr-failure.js';
import type { ProcessIdentity } from '../activities/lib/process-identity.js';
import { readText, replaceText } from './files.js';
import type { Extra } from './extras.js';
import type { LabPaths, NodeName } from './paths.js';
import type { LabPorts } from './ports.js';
import type { ServerUser } from './server-user.js';
import type { LabTools } from './tools.js';

export type LabProcess = 'temporal' | 's3' | 'worker' | 'healthDallas' | 'healthChicago' | 'haproxy' | 'pgbouncer';

export type LabState = {
  api: 1;
  /** The directory as the user named it; a symbolic link to the real one when that must lie elsewhere. */
  shownDir: string;
  ports: LabPorts;
  tools: LabTools;
  serverUser: ServerUser | null;
  processes: Partial<Record<LabProcess, ProcessIdentity>>;
  /** What stands between the application and the nodes; nothing in a lab that was made without. */
  extras?: Extra[];
  /** SHA-256 of recovery.yaml when the worker was started: it reads the file only then. */
  workerConfig?: string;
  /** Nodes whose data directory was made once; it is never made again, whatever a recovery did with it. */
  created: NodeName[];
  /** Ids of the first bases, and when the first of them was finished (UTC). */
  bases: { full?: string; incremental?: string; finishedAt?: string };
};

/** State of the lab, null when there is none yet. Throws PreconditionFailed when the file is damaged. */
export async function readState(paths: LabPaths): Promise<LabState | null> {
  const text = await readText(paths.state);
  if (text === null) return null;
  try {
    return JSON.parse(text) as LabState;
  } catch (cause) {
    throw new PgrFailure('PreconditionFailed', `${paths.state} is damaged`, {
      hint: 'run `pgr lab destroy`, then `pgr lab up`',
      cause,
    });
  }
}

/** Replaces lab.json atomically. Readable for everybody: it holds no secret. */
export async function writeState(paths: LabPaths, state: LabState): Promise<void> {
  await replaceText(paths.state, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o644 });
}

/** State of a lab that must exist; throws NotFound otherwise. */
export async function requireState(paths: LabPaths): Promise<LabState> {
  const state = await readState(paths);
  if (state !== null) return state;
  throw new PgrFailure('NotFound', `there is no lab in ${paths.dir}`, {
    hint: 'run `pgr lab up`',
    next: ['pgr lab up'],
  });
}

/** True when the directory was made by `pgr lab up`. */
export async function hasMarker(paths: LabPaths): Promise<boolean> {
  const text = await readText(paths.marker);
  return text?.includes('"pgr-lab"') ?? false;
}

/** Marks the directory as a lab of ours; the first thing that is written into it. */
export async function writeMarker(paths: LabPaths): Promise<void> {
  if (await hasMarker(paths)) return;
  await replaceText(paths.marker, `${JSON.stringify({ kind: 'pgr-lab', id: randomUUID() })}\n`, { mode: 0o644 });
}
