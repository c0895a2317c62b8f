/** What a lab has between the application and its nodes when it is asked for: a proxy with a write VIP, and a pooler in front of it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { PgrFailure } from '../shared/pgr-failure.js';
import type { LabPorts, PortName } from './ports.js';

export const EXTRAS = ['haproxy', 'pgbouncer'] as const;
export type Extra = (typeof EXTRAS)[number];

const run = promisify(execFile);

/** What a lab does without them. */
const WITHOUT: Record<Extra, string> = {
  haproxy: 'the write address is a libpq URL with both nodes',
  pgbouncer: 'clients see a flip as a short outage instead of latency',
};

/** `haproxy,pgbouncer` as a list. Throws BadUsage for anything else. */
export function parseExtras(text: string): Extra[] {
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.filter((word) => !EXTRAS.some((extra) => extra === word));
  if (unknown.length === 0) return EXTRAS.filter((extra) => words.includes(extra));
  throw new PgrFailure('BadUsage', `--with ${text}: there is no "${unknown.join('", "')}"`, {
    hint: `it takes ${EXTRAS.join(', ')}, separated by commas`,
  });
}

/** Those of `wanted` that this machine has; for the others `note` gets what the lab does without them. */
export async function availableExtras(wanted: readonly Extra[], note: (text: string) => void): Promise<Extra[]> {
  const found: Extra[] = [];
  for (const extra of EXTRAS.filter((one) => wanted.includes(one))) {
    if ((await programPath(extra)) !== null) found.push(extra);
    else note(`${extra} is not installed (Debian: apt-get install ${extra}); without it ${WITHOUT[extra]}`);
  }
  return found;
}

/** Path of the program, null when it is not on PATH. */
export async function programPath(extra: Extra): Promise<string | null> {
  // Daemons lie in sbin, which is not on everybody's PATH.
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` };
  return run('/bin/sh', ['-c', `command -v ${extra}`], { env }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}

/** Ports at which the application finds the node that takes writes, in the order in which it tries them. */
export function applicationPorts(extras: readonly Extra[] | undefined, ports: LabPorts): number[] {
  const through: PortName | null = extras?.includes('pgbouncer')
    ? 'pgbouncer'
    : extras?.includes('haproxy')
      ? 'haproxyWrite'
      : null;
  return through === null ? [ports.dallas, ports.chicago] : [ports[through]];
}
