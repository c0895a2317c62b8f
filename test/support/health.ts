/** Stands for the pg-health of a node: answers 200 on the page that it is told, 503 on all others. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type TestHealth<Role extends string> = { port: number; say(role: Role): void; close(): Promise<void> };

/** Starts one on a free port of loopback. */
export async function startHealth<Role extends string>(role: Role): Promise<TestHealth<Role>> {
  const state: { role: Role } = { role };
  const server = createServer((request, response) => {
    response.statusCode = request.url === `/${state.role}` ? 200 : 503;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    say: (now) => {
      state.role = now;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}
