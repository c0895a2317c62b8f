/** One base of a stanza on its way into its directory: pgBackRest restores it there, and nowhere else. */
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { stepFailure } from '../../lib/failure.js';
import { saveBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';
import { heldTogether } from '../held-together.js';
import type { OpenBase } from '../mover-base.js';
import type { MoverProgress } from '../mover-progress.js';
import type { PgbackrestBase } from './catalog.js';
import { infoArgs, restoreArgs } from './commands.js';
import { damagedBase, EXIT, pgbackrestFailure } from './failures.js';
import { openState } from './fetch-state.js';
import { parseInfoOfBase } from './info.js';
import { partDone } from './progress.js';
import type { Ended } from './run.js';
import type { Stanza, StanzaView } from './view.js';

export type RestoreDeps = { source: Stanza; view: StanzaView; progress: MoverProgress; processMax: number };

/** The processes of a restore that was killed end by themselves within 20 s (measured); they hold its lock until then. */
const LOCK_PATIENCE_MS = 120_000;
const LOCK_LOOK_MS = 500;

/**
 * Finds the base and says what is still to be done. Throws NotFound when it is not there any more, PreconditionFailed when it cannot be restored from here,
 * SandboxNotOurs when `dir` holds other files; all of that before anything is written.
 */
export async function openPgbackrestBase(deps: RestoreDeps, id: string, dir: string, owner: Owner): Promise<OpenBase> {
  const base = (await deps.view.catalog()).bases.find(({ header }) => header.id === id);
  if (base === undefined) {
    throw stepFailure('NotFound', `stanza ${deps.source.stanza} does not have base ${id} (any more)`, {
      hint: 'run `pgr window` for what there is, and start again with one of those',
    });
  }
  await refuseTablespaces(deps.source, base);
  const state = await openState(dir, id, owner);
  const { header } = base;
  const { bytes } = header.sizes;
  deps.progress.expect(bytes, state.isComplete ? bytes : 0);
  if (state.isComplete) return { header, transfers: [], finish: () => undefined };
  makeOwnDirectory(dir, owner);
  return {
    header,
    transfers: heldTogether(() => restoreBase(deps, base, dir)),
    finish() {
      finishBase(dir, id);
      saveBaseState(dir, { ...state, isComplete: true }, owner);
    },
  };
}

/** A tablespace lies outside of the data directory, where production has its own; the sandbox would refuse the base after hours. */
export async function refuseTablespaces(
  { pgbackrest, stanza }: Stanza,
  { header, repo }: PgbackrestBase,
): Promise<void> {
  const text = (await pgbackrest.read(infoArgs(repo, header.id))).toString('utf8');
  const names = (parseInfoOfBase(text, stanza, header.id).tablespace ?? []).map(({ name }) => name);
  if (names.length === 0) return;
  throw stepFailure(
    'PreconditionFailed',
    `base ${header.id} has tablespaces of its own (${names.join(', ')}), which pgr does not restore`,
    {
      hint: 'nothing was written; restore it by hand with `pgbackrest restore --tablespace-map-all` into an empty place',
    },
  );
}

/**
 * A file of the base that is missing or not what the manifest says comes out as any of these, by the layer that meets it first: checksum, format of the compression,
 * read, missing file, decryption. pgBackRest has tried it three times by then.
 */
const OF_DAMAGE = new Set<number>([EXIT.checksum, 29, 42, EXIT.missing, 95]);

/** Restores into `dir`; what an earlier attempt left is checked file by file and used. */
async function restoreBase(deps: RestoreDeps, base: PgbackrestBase, dir: string): Promise<void> {
  const { bytes } = base.header.sizes;
  const { progress } = deps;
  let reported = 0;
  const onLine = (line: string): void => {
    const now = Math.floor((partDone(line) ?? 0) * bytes);
    if (now <= reported) return;
    progress.fetched(now - reported);
    progress.finished(now - reported);
    reported = now;
  };
  const end = await restoreUnlocked(deps, base, dir, onLine);
  if (end.exitCode !== 0) throw restoreFailure(base.header.id, end);
  progress.fetched(bytes - reported);
  progress.finished(bytes - reported);
}

async function restoreUnlocked(
  { source, processMax }: RestoreDeps,
  { header, repo }: PgbackrestBase,
  dir: string,
  onLine: (line: string) => void,
): Promise<Ended> {
  const deadline = Date.now() + LOCK_PATIENCE_MS;
  for (let isMadeAnew = false; ;) {
    const isSecondTry = readdirSync(dir).length > 0;
    const restore = { repo, label: header.id, dir, lockDir: `${dir}.lock`, processMax, isSecondTry };
    const end = await source.pgbackrest.follow(restoreArgs(restore), onLine);
    if (end.exitCode === EXIT.locked && Date.now() < deadline) await delay(LOCK_LOOK_MS);
    else if (end.exitCode === EXIT.notEmpty && !isMadeAnew) {
      // Killed before it had noted what it restores: pgBackRest does not go on from there.
      for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true, force: true });
      isMadeAnew = true;
    } else return end;
  }
}

function restoreFailure(label: string, { exitCode, said }: Ended): Error {
  if (exitCode !== null && OF_DAMAGE.has(exitCode)) return damagedBase(label, said);
  return pgbackrestFailure(`restore of ${label}`, exitCode, said);
}

/**
 * 2.45 writes recovery.signal although it is told to leave recovery alone; the sandbox makes its own. Without backup_label a server would start from the
 * checkpoint in pg_control and come up damaged without a word.
 */
function finishBase(dir: string, label: string): void {
  for (const name of ['recovery.signal', 'standby.signal']) rmSync(join(dir, name), { force: true });
  rmSync(`${dir}.lock`, { recursive: true, force: true });
  for (const name of ['PG_VERSION', 'backup_label', 'global/pg_control']) {
    if (!existsSync(join(dir, name))) throw damagedBase(label, `${name} is missing after the restore`);
  }
}

function makeOwnDirectory(dir: string, owner: Owner): void {
  for (const one of [dir, `${dir}.lock`]) {
    mkdirSync(one, { recursive: true, mode: 0o700 });
    if (owner !== null) chownSync(one, owner.uid, owner.gid);
  }
}
