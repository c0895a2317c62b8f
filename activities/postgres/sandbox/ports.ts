/** The port of a sandbox: free now, and not promised to another sandbox. */
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import type { SandboxPlace } from './place.js';

/** True when nobody listens on this loopback port. */
export async function isPortFree(port: number): Promise<boolean> {
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

/** First free port of the configured range. Throws PortTaken when there is none. */
export async function choosePort(place: SandboxPlace): Promise<number> {
  const [first, last] = place.environment.sandbox.ports;
  const promised = await promisedPorts(place);
  for (let port = first; port <= last; port += 1) {
    if (!promised.has(port) && (await isPortFree(port))) return port;
  }
  throw stepFailure('PortTaken', `no port is free for the sandbox in ${String(first)}-${String(last)}`);
}

/** The promised port, or another one when somebody took it since; nobody was told of it before the server ran. Throws PortTaken when there is none. */
export async function portAtStart(place: SandboxPlace, promised: number): Promise<number> {
  return (await isPortFree(promised)) ? promised : choosePort(place);
}

/** Ports of the other sandboxes beside this one, also of those whose server does not run just now. */
async function promisedPorts(place: SandboxPlace): Promise<Set<number>> {
  const names = await readdir(place.root).catch(() => []);
  const ports = await Promise.all(
    names
      .filter((name) => name !== place.ref.sandbox)
      .map(async (name) => portIn(await readFile(path.join(place.root, name, 'marker.json'), 'utf8').catch(() => ''))),
  );
  return new Set(ports.filter((port) => port !== null));
}

function portIn(marker: string): number | null {
  const match = /"port":\s*(\d+)/.exec(marker);
  return match?.[1] === undefined ? null : Number(match[1]);
}
