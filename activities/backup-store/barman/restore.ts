/**
 * One backup on its way into its directory: `barman restore` into a directory of this attempt, what Barman wrote for itself taken out, every file
 * compared with the manifest of the backup, and only then the name under which the sandbox looks for it.
 */
import { chmodSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { saveBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';
import { heldTogether } from '../held-together.js';
import type { OpenBase } from '../mover-base.js';
import type { MoverTools } from '../mover-tools.js';
import { proveBase } from '../prove-base.js';
import { headerOf, readBackup } from './catalog.js';
import { restoreArgs } from './commands.js';
import type { ShownBackup } from './answers.js';
import { openState } from './fetch-state.js';
import { keepBackup } from './keep.js';
import type { BarmanPlaces } from './places.js';
import { makeFor, openFor, writerOf } from './writer.js';
import { NOT_COMPARED, tidyRestored, walkRestored } from './tidy.js';

/** A base of many hours is copied in many hours; what hangs is ended by whoever waits for the job. */
const NO_TIMEOUT_MS = 7 * 24 * 3_600_000;
/** Barman says no more than that its copy failed; a file system this full is why. */
const FULL_BELOW_BYTES = 16 * 1024 * 1024;
/** Directories of a killed attempt may still be written to by a copy that outlived it. */
const REMOVAL_TRIES = 20;

type Restore = {
  places: BarmanPlaces;
  shown: ShownBackup;
  /** Where it ends up. */
  dir: string;
  owner: Owner;
  binDir: string | null;
};

/** Reads what Barman says of the backup. Throws NotFound, PreconditionFailed or SandboxNotOurs before anything is written. */
export async function openBarmanBase(
  { progress }: Pick<MoverTools, 'progress'>,
  places: BarmanPlaces,
  base: { id: string; dir: string; owner: Owner; binDir: string | null; keepNote: string },
): Promise<OpenBase> {
  const { id, dir, owner, keepNote } = base;
  const shown = await readBackup(places.barman, id);
  const header = headerOf(shown);
  const state = await openState(dir, id, owner);
  const { bytes } = header.sizes;
  progress.expect(bytes, state.isComplete ? bytes : 0);
  if (state.isComplete) return { header, transfers: [], finish: () => undefined };
  const transfer = async (): Promise<void> => {
    const root = shown.catalog_information?.root_backup_id ?? id;
    const problem = await keepBackup(places.barman, { id: root, noteFile: keepNote });
    if (problem !== null) process.stderr.write(`warning: ${problem}\n`);
    const begun = { ...state, attempt: state.attempt + 1 };
    saveBaseState(dir, begun, owner);
    header.sizes.files = await restoreBackup({ places, shown, ...base }, begun.attempt);
    saveBaseState(dir, { ...begun, isComplete: true }, owner);
    progress.fetched(bytes);
    progress.finished(bytes);
  };
  return { header, transfers: heldTogether(transfer), finish: () => undefined };
}

async function restoreBackup(restore: Restore, attempt: number): Promise<number> {
  const { places, shown, dir, owner } = restore;
  await removeAttempts(dir);
  const target = `${dir}.restoring-${String(attempt)}`;
  const writer = await writerOf(places, owner);
  const closeAgain = openFor(dirname(dir), writer, owner);
  makeFor(target, writer);
  const staging = stagingFor(restore, `${dir}.staging-${String(attempt)}`);
  if (staging !== null) makeFor(staging, writer);
  try {
    await callRestore(restore, target, staging);
    tidyRestored(target, shown.backup_id);
    const isForeign = owner !== null && statSync(target).uid !== owner.uid;
    const files = walkRestored(target, isForeign || writer?.uid !== owner?.uid ? owner : null);
    proveBase({ dir: target, owner, header: headerOf(shown), source: 'barman', backupLabel: null });
    await compareWithManifest(restore, target);
    chmodSync(target, 0o700);
    rmSync(dir, { recursive: true, force: true });
    renameSync(target, dir);
    return files;
  } finally {
    closeAgain();
    if (staging !== null) rmSync(staging, { recursive: true, force: true });
  }
}

/** What earlier attempts left half-made. */
async function removeAttempts(dir: string): Promise<void> {
  const parent = dirname(dir);
  const name = basename(dir);
  const left = readdirSync(parent).filter(
    (one) => one.startsWith(`${name}.restoring-`) || one.startsWith(`${name}.staging-`),
  );
  for (const one of left) {
    for (let tries = 1; ; tries += 1) {
      try {
        rmSync(join(parent, one), { recursive: true, force: true });
        break;
      } catch (error) {
        // This attempt writes elsewhere, so what cannot be removed now only takes space; the discard of the sandbox removes it.
        if (tries >= REMOVAL_TRIES) {
          process.stderr.write(`warning: ${one} of an earlier attempt is still there: ${String(error)}\n`);
          break;
        }
        await delay(100);
      }
    }
  }
}

/** Barman wants a place to put parts together: on its own machine, so that for one far away its own settings (or /tmp there) say where. */
function stagingFor({ places, shown }: Restore, dir: string): string | null {
  if (places.barman.config.remote !== undefined) return null;
  const { compression, encryption } = shown.base_backup_information;
  const isIncremental = (shown.catalog_information?.root_backup_id ?? shown.backup_id) !== shown.backup_id;
  return isIncremental || compression || encryption ? dir : null;
}

async function callRestore({ places, shown }: Restore, dir: string, stagingDir: string | null): Promise<void> {
  const { server, remote } = places.barman.config;
  const sshCommand = remote?.back ?? null;
  const args = restoreArgs({ server, id: shown.backup_id, dir, sshCommand, stagingDir });
  try {
    await places.barman.ask(args, { timeoutMs: NO_TIMEOUT_MS, refusal: 'CommandFailed' });
  } catch (error) {
    const { bavail, bsize } = statfsSync(dirname(dir));
    if (bavail * bsize >= FULL_BELOW_BYTES) throw error;
    throw stepFailure('SpaceMissing', `no space left in ${dirname(dir)} for backup ${shown.backup_id}`, {
      cause: error,
    });
  }
}

/**
 * Barman copies a damaged file without a word, and a server comes up from it (measured). A backup made by rsync has no manifest; there version, identity and
 * label are the proof, and amcheck in the sandbox.
 */
async function compareWithManifest({ binDir, shown }: Restore, dir: string): Promise<void> {
  if (binDir === null || !readdirSync(dir).includes('backup_manifest')) return;
  const ignored = NOT_COMPARED.map((name) => `--ignore=${name}`);
  const args = ['--no-parse-wal', '--exit-on-error', '--quiet', ...ignored, dir];
  const result = await runProgram(join(binDir, 'pg_verifybackup'), args, { timeoutMs: NO_TIMEOUT_MS });
  if (result.exitCode === 0) return;
  const said = result.stderr.trim().split('\n').slice(-3).join(' | ').replaceAll('pg_verifybackup: error: ', '');
  throw stepFailure('BackupCorrupt', `backup ${shown.backup_id} does not match its manifest: ${said}`, {
    hint: 'nothing was promoted; recover from another backup, see `barman verify-backup`, then `pgr retry`',
  });
}
