/** Calls `zfs` and reads properties. A property that is not there, a dataset that is not there, and a `zfs` that fails are three answers. */
import { setTimeout as delay } from 'node:timers/promises';

import { describeFailure, runProgram, type ProgramResult } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { asConfigured, zfsGetArgs, zfsListArgs } from './commands.js';

export type Properties = ReadonlyMap<string, { value: string; source: string }>;

export type Zfs = {
  /** Runs it once and says how it went. */
  run(args: readonly string[]): Promise<ProgramResult>;
  /** Runs it until it succeeds, again only while ZFS says "dataset is busy". Throws SnapshotFailed with what it said. */
  change(args: readonly string[]): Promise<void>;
  /** Properties of a dataset or snapshot; null when it does not exist. Throws SnapshotFailed when that cannot be told. */
  get(target: string, properties: readonly string[]): Promise<Properties | null>;
  /** Properties of several targets that exist, by name. */
  getAll(targets: readonly string[], properties: readonly string[]): Promise<Map<string, Properties>>;
  list(type: 'snapshot' | 'filesystem', dataset: string): Promise<string[]>;
};

/** A rollback or a clone of a large dataset may take seconds; nothing that is called here works longer than that. */
const TIMEOUT_MS = 120_000;
/** FUSE unmounts in the background: the first destroy or rename after a use is refused for up to a second. */
const BUSY_PAUSE_MS = 100;
const BUSY_TIMEOUT_MS = 20_000;

export function createZfs(options: { sudo: boolean }): Zfs {
  const run = (args: readonly string[]): Promise<ProgramResult> => {
    const [program, argv] = asConfigured('zfs', args, options.sudo);
    return runProgram(program, argv, { timeoutMs: TIMEOUT_MS });
  };
  const output = async (args: readonly string[]): Promise<string> => {
    const result = await run(args);
    if (result.exitCode === 0) return result.stdout;
    throw zfsFailure(result);
  };
  return {
    run,
    async change(args) {
      const deadline = Date.now() + BUSY_TIMEOUT_MS;
      for (;;) {
        const result = await run(args);
        if (result.exitCode === 0) return;
        if (!/dataset is busy/.test(result.stderr) || Date.now() > deadline) throw zfsFailure(result);
        await delay(BUSY_PAUSE_MS);
      }
    },
    async get(target, properties) {
      const result = await run(zfsGetArgs(properties, [target]));
      if (result.exitCode === 0) return parseGet(result.stdout).get(target) ?? null;
      if (/dataset does not exist/.test(result.stderr)) return null;
      throw zfsFailure(result);
    },
    getAll: async (targets, properties) =>
      targets.length === 0 ? new Map() : parseGet(await output(zfsGetArgs(properties, targets))),
    list: async (type, dataset) => (await output(zfsListArgs(type, dataset))).split('\n').filter((line) => line !== ''),
  };
}

/** Lines of `zfs get -H -o name,property,value,source`; a property that is not set has the value `-` and no source, and is left out. */
export function parseGet(text: string): Map<string, Properties> {
  const targets = new Map<string, Map<string, { value: string; source: string }>>();
  for (const line of text.split('\n')) {
    const [name, property, value, source] = line.split('\t');
    if (name === undefined || property === undefined || value === undefined || source === undefined) continue;
    const properties = targets.get(name) ?? new Map<string, { value: string; source: string }>();
    if (value !== '-') properties.set(property, { value, source });
    targets.set(name, properties);
  }
  return targets;
}

/** What `zfs` said, in a line: on wrong usage it prints pages of help, of which the first lines tell. */
export function zfsFailure(result: ProgramResult): Error {
  const stderr = result.stderr.split('\n').slice(0, 4).join('\n');
  return stepFailure('SnapshotFailed', describeFailure({ ...result, stderr }));
}
