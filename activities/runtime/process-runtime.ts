/**
 * Runtime `process`: the server is a process of this host, started from the node's `binDir` as the owner of its data directory. It inherits
 * nothing of the worker's environment but PATH, HOME and the variables that the config of the backup store refers to (`env:NAME`), which an
 * `archive_command` that runs `pgr wal-push` needs.
 */
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import type { RunAs } from '../lib/exec.js';
import { programEnvironment } from '../lib/exec-secrets.js';
import type { ServerRuntime, ServerStatus } from '../lib/runtime.js';
import { configFileArgs } from './commands.js';

type Running = {
  state: 'running';
  pid: number;
  port: number | null;
  socketDir: string | null;
  /** As the server was told, also inside a container. */
  toldSocketDir?: string | null;
  status: string | null;
};

/** What this provider needs of the PostgreSQL area; given to it, because areas do not import each other. */
export type ServerControl = {
  readPostmaster(
    dataDir: string,
  ): Promise<Running | { state: 'stopped'; why: string } | { state: 'unknown'; why: string }>;
  startServer(request: {
    binDir: string;
    dataDir: string;
    owner?: RunAs;
    options?: readonly string[];
    logFile: string;
    env?: Record<string, string>;
    timeoutMs?: number;
    until?: 'ready' | 'accepting' | 'alive';
  }): Promise<{ outcome: 'started' | 'already-running'; server: { pid: number; port: number | null } }>;
  stopServer(request: {
    dataDir: string;
    mode?: 'fast' | 'immediate';
    timeoutMs?: number;
  }): Promise<{ outcome: 'stopped' | 'already-stopped'; proof: string }>;
};

/** The server of one node as a process of this host. */
export function createProcessRuntime(
  environment: EnvironmentConfig,
  node: NodeConfig,
  control: ServerControl,
): ServerRuntime {
  const { dataDir, binDir } = node;
  return {
    kind: 'process',
    async status(): Promise<ServerStatus> {
      const seen = await control.readPostmaster(dataDir);
      if (seen.state !== 'running') return seen;
      const { pid, port, socketDir, status } = seen;
      return { state: 'running', pid, port, socketDir, accepting: status === 'ready' };
    },
    async start() {
      const configured = node.runtime.kind === 'process' ? node.runtime.logFile : undefined;
      const logFile = configured ?? `${dataDir}.log`;
      const env = programEnvironment(environment.backups);
      const options = configFileArgs(node.configFile);
      const { outcome, server } = await control.startServer({ binDir, dataDir, options, logFile, env });
      return { outcome, pid: server.pid };
    },
    stop(timeoutMs) {
      return control.stopServer({ dataDir, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    },
  };
}
