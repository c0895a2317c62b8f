/** Configuration of a Patroni pair and of the HAProxy in front of it. Pure. */
import { stringify } from 'yaml';

export type PatroniSettings = {
  /** Seconds, as in Patroni's dynamic configuration. */
  dcs: { ttl: number; loop_wait: number; retry_timeout: number };
  /** Of HAProxy's `default-server`. */
  check: string;
  /** Of HAProxy: it waits a second before it tries a refused connection again. */
  retries: number;
};

/** As Patroni's documentation and its sample haproxy.cfg have them. */
export const DEFAULT_SETTINGS: PatroniSettings = {
  dcs: { ttl: 30, loop_wait: 10, retry_timeout: 10 },
  check: 'inter 3s fall 3 rise 2 on-marked-down shutdown-sessions',
  retries: 2,
};

/** The fastest that Patroni accepts (a ttl under 20 s is refused), and a check of HAProxy ten times a second that one answer decides. */
export const FAST_SETTINGS: PatroniSettings = {
  dcs: { ttl: 20, loop_wait: 1, retry_timeout: 3 },
  check: 'inter 100ms fastinter 100ms downinter 100ms fall 1 rise 1 on-marked-down shutdown-sessions',
  retries: 0,
};

export type PatroniNode = { name: string; port: number; restPort: number; dataDir: string; passFile: string };
export type PatroniPasswords = { superuser: string; replication: string };

/** Name of the cluster in etcd. */
export const SCOPE = 'bench';

/** patroni.yml of one node. The server is set up like a node of the lab; it archives nothing, which a switchover would wait for. */
export function patroniYaml(
  node: PatroniNode,
  {
    binDir,
    etcdPort,
    settings,
    passwords,
  }: { binDir: string; etcdPort: number; settings: PatroniSettings; passwords: PatroniPasswords },
): string {
  const rest = `127.0.0.1:${String(node.restPort)}`;
  const server = `127.0.0.1:${String(node.port)}`;
  return stringify({
    scope: SCOPE,
    name: node.name,
    restapi: { listen: rest, connect_address: rest },
    etcd3: { host: `127.0.0.1:${String(etcdPort)}` },
    bootstrap: {
      dcs: {
        ...settings.dcs,
        maximum_lag_on_failover: 1_048_576,
        postgresql: {
          use_pg_rewind: true,
          parameters: {
            max_connections: 60,
            shared_buffers: '128MB',
            max_wal_size: '1GB',
            wal_level: 'replica',
            summarize_wal: 'on',
            track_commit_timestamp: 'on',
            hot_standby_feedback: 'on',
            unix_socket_directories: '',
          },
        },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums'],
    },
    postgresql: {
      listen: server,
      connect_address: server,
      data_dir: node.dataDir,
      bin_dir: binDir,
      pgpass: node.passFile,
      authentication: {
        superuser: { username: 'postgres', password: passwords.superuser },
        replication: { username: 'replicator', password: passwords.replication },
      },
      pg_hba: ['host all all 127.0.0.1/32 scram-sha-256', 'host replication all 127.0.0.1/32 scram-sha-256'],
    },
  });
}

/** Patroni's sample haproxy.cfg with the checks of `settings`. */
export function patroniHaproxyCfg(port: number, nodes: readonly PatroniNode[], settings: PatroniSettings): string {
  const servers = nodes.map(
    (node) => `    server ${node.name} 127.0.0.1:${String(node.port)} check port ${String(node.restPort)}`,
  );
  return `global
    maxconn 100
defaults
    mode tcp
    retries ${String(settings.retries)}
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen primary
    bind 127.0.0.1:${String(port)}
    option httpchk
    http-check expect status 200
    default-server ${settings.check}
${servers.join('\n')}
`;
}

/** Arguments of etcd with one member, on loopback. */
export function etcdArgs(dataDir: string, clientPort: number, peerPort: number): string[] {
  const client = `http://127.0.0.1:${String(clientPort)}`;
  const peer = `http://127.0.0.1:${String(peerPort)}`;
  return [
    ...['--name', 'bench', '--data-dir', dataDir, '--logger', 'zap', '--log-level', 'error'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `bench=${peer}`],
  ];
}

/** Arguments of patronictl for a switchover that asks nothing. */
export function switchoverArgs(configFile: string, leader: string, candidate: string): string[] {
  return ['-c', configFile, 'switchover', SCOPE, '--leader', leader, '--candidate', candidate, '--force'];
}
