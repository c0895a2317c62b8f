/**
 * Text of a haproxy.cfg. Pure. The comments in the text say why each line is there; the times and orders behind them were measured with HAProxy 2.6.
 */
export type Address = { host: string; port: number };
export type HaproxyServer = Address & {
  name: string;
  /** Where the health of this node is asked. */
  check: Address & { tls: boolean };
};
export type HaproxyText = {
  environment: string;
  instance: string;
  backend: string;
  write: Address;
  read: Address;
  stats: Address & { path: string };
  /** Socket path or `host:port`. */
  api: string;
  /** Paths that answer 200 on the node that takes writes, and on one that serves reads. */
  paths: { primary: string; replica: string };
  servers: HaproxyServer[];
};

/** The file itself. */
export function haproxyCfg(file: HaproxyText): string {
  return `${[header(file), globalPart(file), defaults(), writePart(file), readPart(file), statsPart(file)].join('\n\n')}\n`;
}

const header = ({ environment, instance }: HaproxyText): string =>
  `# haproxy.cfg of instance ${instance} for environment ${environment}, printed by \`pgr config haproxy ${environment}\`.
# Check it with \`haproxy -c -f FILE\`. Needs HAProxy 2.4 or newer.`;

const globalPart = ({ api }: HaproxyText): string => `global
    # pgr fences and routes through this socket, so it needs level admin. Whoever reaches it rules the write VIP: a unix socket that only the
    # worker's user may open, or a TCP address of a private network behind a firewall.
    ${socketLine(api)}
    # A flip opens its connection beforehand and keeps it while it waits for checkpoints.
    stats timeout 10m
    # After a reload the old process keeps its sessions, and the socket no longer reaches them. This is how long they may last.
    hard-stop-after 30s
    # No server-state-file here: after a restart the health answers decide, not what somebody once set.`;

function socketLine(api: string): string {
  return api.startsWith('/')
    ? `stats socket ${api} mode 600 level admin expose-fd listeners`
    : `stats socket ipv4@${api} level admin`;
}

const defaults = (): string => `defaults
    mode tcp
    timeout connect 2s
    # Idle database sessions are normal; dead peers are found by keepalives instead.
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka
    # A health answer that takes longer is no answer; pg-health says 503 within 300 ms for a server that hangs.
    timeout check 500ms
    # A refused connection is told to the client at once: after a flip its next attempt finds the new primary, a retry here would wait a second.
    retries 0`;

const writePart = (file: HaproxyText): string => `frontend ${file.backend}_vip
    bind ${bindAddress(file.write)}
    # Just started, HAProxy takes every server for good until its first check, so for half a second a standby would get writers. And two nodes
    # that both call themselves primary must not share them. New sessions wait a moment; when there are still two, they are refused.
    tcp-request inspect-delay 1s
    tcp-request content accept if { nbsrv(${file.backend}) lt 2 }
    tcp-request content reject if WAIT_END
    default_backend ${file.backend}

backend ${file.backend}
    # 200 only from the node that takes writes and is not fenced.
    option httpchk GET ${file.paths.primary}
    http-check expect status 200
    # A primary that dies is noticed after 2 answers 200 ms apart, and its sessions are closed: otherwise they stay with the demoted node. A flip
    # does not wait for any of this, it tells HAProxy what to do.
    default-server inter 1s fastinter 200ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
${initState}
${file.servers.map(serverLine).join('\n')}`;

/** Since 3.1 a server can start as down, so that nothing is routed on faith. */
const initState = `.if version_atleast(3.1)
    default-server init-state down
.endif`;

const readPart = (file: HaproxyText): string => `frontend ${readBackend(file)}_vip
    bind ${bindAddress(file.read)}
    default_backend ${readBackend(file)}

backend ${readBackend(file)}
    # Standbys that stream. Running queries are not cut when one is marked down: a standby that lags can still finish them.
    balance leastconn
    option httpchk GET ${file.paths.replica}
    http-check expect status 200
    default-server inter 1s fastinter 200ms downinter 500ms fall 2 rise 1
${initState}
${file.servers.map(serverLine).join('\n')}`;

const statsPart = ({
  stats,
}: HaproxyText): string => `# Read by pgr when the socket does not answer. Nothing can be changed here (no \`stats admin\`).
frontend stats
    bind ${bindAddress(stats)}
    mode http
    timeout client 10s
    stats enable
    stats uri ${stats.path}
    stats refresh 5s`;

/** Name of the read backend: `postgres_write` becomes `postgres_read`. */
function readBackend({ backend }: HaproxyText): string {
  return backend.endsWith('_write') ? backend.replace(/_write$/, '_read') : `${backend}_read`;
}

function serverLine({ name, host, port, check }: HaproxyServer): string {
  // A certificate is not needed to believe "I am the primary" on a private network; give ca-file and verify required where it is.
  const tls = check.tls ? ' check-ssl verify none' : '';
  return `    server ${name} ${bindAddress({ host, port })} check addr ${check.host} port ${String(check.port)}${tls}`;
}

const bindAddress = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
