/** A TCP proxy on loopback that counts what the server behind it sends, and can cut connections. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Listens on loopback; port 0 takes a free one. */
export function listen(server: Server, port: number): Promise<Server> {
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
  cut(afterBytes: number, connections: number): void;
  dropAll(): void;
  close(): Promise<void>;
};

/** A proxy in front of a port of this machine. */
export async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const cuts = { after: 0, left: 0 };
  let served = 0;
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    let answered = 0;
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
