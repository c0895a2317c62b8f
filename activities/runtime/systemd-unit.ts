/** What `systemctl show` says of a unit, and the refusals that follow from it. */
import { readFile } from 'node:fs/promises';

import { describeFailure, runProgram, type ProgramResult } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { listInstancesArgs, showUnitArgs } from './commands.js';

export type Unit = {
  name: string;
  type: string;
  /** loaded, not-found, masked, bad-setting, error. */
  load: string;
  /** active, reloading, inactive, failed, activating, deactivating, maintenance. */
  active: string;
  sub: string;
  result: string;
  mainPid: number;
  execMainStatus: number;
  controlGroup: string;
  /** A start or stop is queued or under way. */
  hasJob: boolean;
};

export type UnitAnswer = { state: 'known'; unit: Unit } | { state: 'unknown'; why: string };

/** The unit in the output of `systemctl show`; null when that is something else. */
export function parseUnit(output: string): Unit | null {
  const properties = new Map(
    output.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );
  const text = (name: string): string => properties.get(name) ?? '';
  if (text('LoadState') === '' || text('ActiveState') === '') return null;
  return {
    name: text('Id'),
    type: text('Type'),
    load: text('LoadState'),
    active: text('ActiveState'),
    sub: text('SubState'),
    result: text('Result'),
    mainPid: Number(text('MainPID')) || 0,
    execMainStatus: Number(text('ExecMainStatus')) || 0,
    controlGroup: text('ControlGroup'),
    hasJob: !['', '0'].includes(text('Job')),
  };
}

/** The state of a unit. No systemd, no answer or a strange one is "unknown", never "stopped". */
export async function readUnit(name: string): Promise<UnitAnswer> {
  let said: ProgramResult;
  try {
    said = await runProgram('systemctl', showUnitArgs(name), { timeoutMs: 10_000 });
  } catch (error) {
    return { state: 'unknown', why: error instanceof Error ? error.message : String(error) };
  }
  const unit = said.exitCode === 0 ? parseUnit(said.stdout) : null;
  return unit === null ? { state: 'unknown', why: describeFailure(said) } : { state: 'known', unit };
}

/** `active (running)`, with how it ended when it did not end well. */
export function describeUnit({ name, active, sub, result, execMainStatus }: Unit): string {
  const ended = result === '' || result === 'success' ? '' : `, ${result}, status ${String(execMainStatus)}`;
  return `unit ${name} is ${active} (${sub}${ended})`;
}

/**
 * Why this unit cannot stand for one server; null when it can. Debian's `postgresql.service` is an umbrella: a oneshot that runs `/bin/true` and is
 * "active" whatever its instances do.
 */
export function problemOf(unit: Unit, name: string): string | null {
  if (unit.load === 'not-found') return `there is no unit ${name}`;
  if (unit.load === 'masked') return `unit ${name} is masked`;
  if (unit.load !== 'loaded') return `unit ${name} cannot be loaded (${unit.load})`;
  if (unit.type === 'oneshot') return `unit ${name} is an umbrella and runs no server itself`;
  return null;
}

/** Throws NotFound, ConfigInvalid or PreconditionFailed when the unit cannot stand for one server. */
export async function refuseWrongUnit(unit: Unit, name: string): Promise<void> {
  const problem = problemOf(unit, name);
  if (problem === null) return;
  if (unit.load === 'not-found') {
    throw stepFailure('NotFound', problem, {
      hint: 'nothing was touched; correct runtime.unit (`systemctl list-units "*postgres*"`)',
    });
  }
  if (unit.type === 'oneshot') {
    const instances = await listInstances(name);
    const known = instances.length === 0 ? 'postgresql@18-main.service' : instances.join(', ');
    throw stepFailure('ConfigInvalid', problem, {
      hint: `nothing was touched; name the unit of the instance in runtime.unit: ${known}`,
    });
  }
  throw stepFailure('PreconditionFailed', problem, { hint: `see \`systemctl status ${name}\`, then \`pgr retry\`` });
}

async function listInstances(name: string): Promise<string[]> {
  const said = await runProgram('systemctl', listInstancesArgs(name), { timeoutMs: 10_000 });
  const names = said.stdout.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  return names.filter((instance) => instance.endsWith('.service'));
}

/** True when the process belongs to the unit: its main process, or in its control group (a server under Patroni is not the main process). */
export async function belongsTo(unit: Unit, pid: number): Promise<boolean> {
  if (unit.mainPid === pid) return true;
  if (unit.controlGroup === '') return false;
  const groups = await readFile(`/proc/${String(pid)}/cgroup`, 'utf8').catch(() => '');
  return groups.split('\n').some((line) => line.split(':').slice(2).join(':') === unit.controlGroup);
}

/** The service that a process belongs to by its control group; null for one that a person or a worker without systemd started. */
export async function serviceOf(pid: number | 'self'): Promise<string | null> {
  const groups = await readFile(`/proc/${String(pid)}/cgroup`, 'utf8').catch(() => '');
  const line = groups.split('\n').find((text) => /^(0:|\d+:name=systemd):/.test(text)) ?? '';
  return /\/([^/]+\.service)(?:\/|$)/.exec(line)?.[1] ?? null;
}
