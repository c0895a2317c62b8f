/** Sessions with the server of a sandbox, through its private socket. */
import type pg from 'pg';

import { withClient, type ClientOptions } from '../connection.js';
import type { SandboxMarker } from './marker.js';
import type { SandboxPlace } from './place.js';

export type SandboxSessionOptions = Partial<
  Pick<ClientOptions, 'database' | 'user' | 'statementTimeoutMs' | 'connectTimeoutMs' | 'settings'>
>;

/** Address of the sandbox's socket. `template1` exists in every cluster, also when the environment's database was made after T. */
export function sandboxAddress(
  place: SandboxPlace,
  marker: Pick<SandboxMarker, 'port' | 'socketDir'>,
  options: SandboxSessionOptions = {},
): ClientOptions {
  return {
    host: marker.socketDir,
    port: marker.port,
    user: place.environment.postgres.user,
    database: 'template1',
    password: null,
    ...options,
  };
}

/** Opens a session, hands it to `work` and closes it. Errors as `withClient`. */
export async function connectSandbox<T>(
  place: SandboxPlace,
  marker: Pick<SandboxMarker, 'port' | 'socketDir'>,
  options: SandboxSessionOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(sandboxAddress(place, marker, options), work);
}

export type KeptSession = { client: pg.Client; close(): Promise<void> };

/** A session that stays open until it is closed: polling must not start a backend each time. Throws as `withClient` when it cannot be opened. */
export async function openSession(address: ClientOptions): Promise<KeptSession> {
  return new Promise((resolve, reject) => {
    let end: () => void = () => undefined;
    const ended = new Promise<void>((done) => {
      end = done;
    });
    const session = withClient(address, async (client) => {
      resolve({
        client,
        close: async () => {
          end();
          await session.catch(() => undefined);
        },
      });
      await ended;
    });
    session.catch((error: unknown) => {
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
}
