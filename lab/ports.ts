/** Ports of the lab: chosen once, kept for good, chosen again only when a stranger listens there. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

import { PgrFailure } from '../shared/pgr-failure.js';

export const PORT_NAMES = [
  'temporal',
  'temporalUi',
  'temporalHttp',
  'temporalMetrics',
  's3',
  's3Grpc',
  'weedMaster',
  'weedMasterGrpc',
  'weedVolume',
  'weedVolumeGrpc',
  'weedFiler',
  'weedFilerGrpc',
  'dallas',
  'chicago',
  'healthDallas',
  'healthChicago',
  'haproxyWrite',
  'haproxyRead',
  'haproxyApi',
  'haproxyStats',
  'pgbouncer',
] as const;

export type PortName = (typeof PORT_NAMES)[number];
export type LabPorts = Record<PortName, number>;

/** Below the ranges from which systems take the ports of outgoing connections, which would collide after every restart. */
const LOWEST = 20_000;
const HIGHEST = 32_000;
const ATTEMPTS = 200;

/** True when nobody listens on 127.0.0.1:`port`. */
export async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

/** A free port that is not in `taken`. Random, so that two labs that start at once do not meet. */
export async function chooseFreePort(taken: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = randomInt(LOWEST, HIGHEST);
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new PgrFailure('PortTaken', `no free port between ${LOWEST} and ${HIGHEST}`, {
    hint: 'stop what listens there',
  });
}

/** A full set of free ports; those of `known` stay as they are (a lab of an older version knows fewer). */
export async function choosePorts(known: Partial<LabPorts> = {}): Promise<LabPorts> {
  const ports: Partial<LabPorts> = { ...known };
  const taken = new Set<number>(Object.values(known));
  for (const name of PORT_NAMES) {
    if (ports[name] !== undefined) continue;
    const port = await chooseFreePort(taken);
    taken.add(port);
    ports[name] = port;
  }
  return ports as LabPorts;
}

/** The set with another port for each of `names` that is taken by a stranger; the same object when none is. */
export async function replaceTaken(ports: LabPorts, names: readonly PortName[]): Promise<LabPorts> {
  let result = ports;
  for (const name of names) {
    if (await isFree(ports[name])) continue;
    result = { ...result, [name]: await chooseFreePort(new Set(Object.values(result))) };
  }
  return result;
}
