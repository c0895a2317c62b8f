/** Private servers as processes of this host, from the node's `binDir`: for nodes that the host itself runs (runtimes `process` and `systemd`). */
import path from 'node:path';

import type { NodeConfig } from '../../config/schema.js';
import { describeFailure, runProgram, type RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import type { PrivateServers, PrivateServerState } from '../lib/runtime.js';
import { configFileArgs, readSettingArgs } from './commands.js';
import type { ServerControl } from './process-runtime.js';

/** Private servers of a node's host. */
export function createProcessServers(node: NodeConfig, control: ServerControl): PrivateServers {
  return {
    read: ({ dataDir, socketDir }) => readPrivate(control, dataDir, socketDir),
    async start({ dataDir, owner, role, options, logFile, env, timeoutMs, until }) {
      const { outcome, server } = await control.startServer({
        binDir: node.binDir,
        dataDir,
        owner,
        logFile,
        // A sandbox brings its own configuration file.
        options: [...(role === 'sandbox' ? [] : configFileArgs(node.configFile)), ...options],
        until,
        ...(env === undefined ? {} : { env }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
      return { outcome, pid: server.pid, port: server.port };
    },
    stop: ({ dataDir }, how = {}) => control.stopServer({ dataDir, ...how }),
    readSettings: (dataDir, owner, names) => readSettings(node, dataDir, owner, names),
    runShell: ({ dataDir, owner, command, env, timeoutMs }) =>
      runProgram('/bin/sh', ['-c', command], { ...asOwner(owner), cwd: dataDir, env, timeoutMs }),
  };
}

/** What works in a directory; a server is known as ours by the socket directory that it was given. */
export async function readPrivate(
  control: ServerControl,
  dataDir: string,
  socketDir: string,
): Promise<PrivateServerState> {
  const seen = await control.readPostmaster(dataDir);
  if (seen.state !== 'running') return seen;
  const { pid, port, toldSocketDir } = seen;
  return { state: 'running', pid, port, isOurs: toldSocketDir === socketDir };
}

async function readSettings<Name extends string>(
  node: NodeConfig,
  dataDir: string,
  owner: RunAs,
  names: readonly Name[],
): Promise<Record<Name, string>> {
  const values = await Promise.all(
    names.map(async (name) => {
      const args = readSettingArgs(dataDir, configFileArgs(node.configFile), name);
      const said = await runProgram(path.join(node.binDir, 'postgres'), args, asOwner(owner));
      if (said.exitCode === 0) return [name, said.stdout.trim()] as const;
      throw unreadable(dataDir, `setting ${name}`, describeFailure(said));
    }),
  );
  return Object.fromEntries(values) as Record<Name, string>;
}

/** The server would not start with these files either. */
export function unreadable(dataDir: string, what: string, why: string): Error {
  return stepFailure('PreconditionFailed', `cannot read ${what} of ${dataDir}: ${why}`, {
    hint: 'mend the configuration files named there, then `pgr retry`',
  });
}

/** Only root may (and must) change the user; PostgreSQL refuses root. */
function asOwner(owner: RunAs): { runAs?: RunAs } {
  return process.getuid?.() === 0 ? { runAs: owner } : {};
}
