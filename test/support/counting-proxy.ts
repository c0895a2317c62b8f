/** A TCP proxy on loopback that counts what the server behind it sends, and can cut connections. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Listens on loopback; port 0 takes a free one. */
function listen(server: Server, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}

export type Proxy = {
  port: number;
  bytesServed(): number;
  /** The same for answers to GET requests whose path has `part` in it. */
  bytesServedOf(part: string): number;
  cut(afterBytes: number, connections: number): void;
  dropAll(): void;
  close(): Promise<void>;
};

/** A proxy in front of a port of this machine. */
export async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const cuts = { after: 0, left: 0 };
  let served = 0;
  const servedByPath = new Map<string, number>();
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    let answered = 0;
    let path = '';
    // One request at a time on a connection, as clients of S3 do: what comes back belongs to the last one.
    client.on('data', (piece: Buffer) => {
      path = /^GET (\S+) HTTP/.exec(piece.toString('latin1', 0, 2_000))?.[1] ?? path;
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.on('data', (piece) => {
      served += piece.length;
      servedByPath.set(path, (servedByPath.get(path) ?? 0) + piece.length);
      answered += piece.length;
      if (cuts.left > 0 && answered > cuts.after) {
        cuts.left -= 1;
        client.destroy();
      }
    });
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await listen(server, 0);
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    bytesServed: () => served,
    bytesServedOf: (part) =>
      [...servedByPath].filter(([path]) => path.includes(part)).reduce((sum, [, bytes]) => sum + bytes, 0),
    cut: (afterBytes, connections) => Object.assign(cuts, { after: afterBytes, left: connections }),
    dropAll,
    close: () => {
      dropAll();
      return new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}
