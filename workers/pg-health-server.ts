/** The HTTP side of pg-health. It answers from what is known at that moment and waits for nothing, so it cannot hang with the server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { errorCodeOf } from '../shared/error-code.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { statusOf, type Health, type HealthPath } from './pg-health-answer.js';

export type HealthServer = { port: number; close(): Promise<void> };

const PATHS: readonly string[] = ['/primary', '/replica', '/health'] satisfies HealthPath[];
const METHODS = ['GET', 'HEAD', 'OPTIONS'];
/** A health check is one line; a client that takes longer to send it is none. */
const REQUEST_TIMEOUT_MS = 5_000;

/** Listens. Throws PortTaken when somebody does so already, ConfigInvalid when the address is not one of this host. */
export async function listen(
  address: { host: string; port: number },
  who: { environment: string; node: string },
  health: () => Health,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    answer(request, response, who, health());
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  await bind(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        // Routers keep their connections open; they would keep us alive.
        server.closeAllConnections();
      }),
  };
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  who: { environment: string; node: string },
  health: Health,
): void {
  const path = (request.url ?? '/').replace(/\?.*$/s, '');
  const method = request.method ?? '';
  // What a client sends along is not read: the connection ends with the answer then.
  if (!METHODS.includes(method)) {
    send(response, 405, { error: `use ${METHODS.join(', ')}` }, { Allow: METHODS.join(', '), Connection: 'close' });
  } else if (PATHS.includes(path)) {
    send(response, statusOf(path as HealthPath, health), { ...who, ...health });
  } else {
    send(response, 404, { error: `there is ${PATHS.join(', ')}` });
  }
}

/** Node leaves the body out by itself where the method is HEAD. */
function send(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  const text = `${JSON.stringify({ api: 1, ...body })}\n`;
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    ...headers,
  });
  response.end(text);
}

async function bind(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  const where = `${host}:${String(port)}`;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    const code = errorCodeOf(cause) ?? 'unknown error';
    if (code === 'EADDRINUSE') {
      throw new PgrFailure('PortTaken', `somebody listens on ${where} already`, {
        hint: 'another pg-health of this node may run: stop it, or give the node another health.port in the config',
        cause,
      });
    }
    throw new PgrFailure('ConfigInvalid', `cannot listen on ${where} (${code})`, {
      hint: 'set health.listen of the node to an address of this host',
      cause,
    });
  }
}
