/** What a lab has when it is asked for: a proxy with a write VIP, a pooler in front of it, and a ZFS dataset for the data of each node. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { PgrFailure } from '../shared/pgr-failure.js';
import type { LabPorts, PortName } from './ports.js';
import { whyNoZfs } from './zfs-daemon.js';

export const EXTRAS = ['haproxy', 'pgbouncer', 'zfs'] as const;
export type Extra = (typeof EXTRAS)[number];

const run = promisify(execFile);

/** What a lab does without them. */
const WITHOUT: Record<Extra, string> = {
  haproxy: 'the write address is a libpq URL with both nodes',
  pgbouncer: 'clients see a flip as a short outage instead of latency',
  zfs: 'the data lie in plain directories: a safety copy is a rename, and a rebuild needs the space of a second cluster',
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
    const missing = await whyMissing(extra);
    if (missing === null) found.push(extra);
    else note(`${missing}; without it ${WITHOUT[extra]}`);
  }
  return found;
}

/** Why this machine does not have it, null when it does. */
export async function whyMissing(extra: Extra): Promise<string | null> {
  if (extra === 'zfs') return whyNoZfs();
  return (await programPath(extra)) === null ? `${extra} is not installed (Debian: apt-get install ${extra})` : null;
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
