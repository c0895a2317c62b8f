/**
 * Runtime `systemd`: the server is a unit of its own. The state comes from `systemctl show` AND from the processes that work in the data directory:
 * exit codes of systemctl prove nothing, and Debian's units hide a failed start (`ExecStart=-`). A stop through systemd is not undone by `Restart=`.
 */
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import { describeFailure, runProgram, type ProgramResult } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import type { ServerRuntime, ServerStatus } from '../lib/runtime.js';
import { unitJobArgs, unitLogArgs } from './commands.js';
import type { ServerControl } from './process-runtime.js';
import {
  belongsTo,
  describeUnit,
  problemOf,
  readUnit,
  refuseWrongUnit,
  serviceOf,
  type Unit,
  type UnitAnswer,
} from './systemd-unit.js';

const STOP_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 300_000;
const JOB_TIMEOUT_MS = 30_000;
/** A look is a process of its own: often enough not to lengthen an outage, seldom enough not to be the load. */
const LOOK_EVERY_MS = 20;

type Settings = Extract<NodeConfig['runtime'], { kind: 'systemd' }>;
type Systemd = { node: NodeConfig; settings: Settings; control: ServerControl };
type Server = Awaited<ReturnType<ServerControl['readPostmaster']>>;
type Seen = { answer: UnitAnswer; server: Server };

/** The server of one node as a systemd unit of this host. Throws ConfigInvalid when the node has another runtime. */
export function createSystemdRuntime(
  _environment: EnvironmentConfig,
  node: NodeConfig,
  control: ServerControl,
): ServerRuntime {
  if (node.runtime.kind !== 'systemd') throw stepFailure('ConfigInvalid', `node ${node.name} is not run by systemd`);
  const systemd: Systemd = { node, settings: node.runtime, control };
  return {
    kind: 'systemd',
    status: async () => statusOf(await look(systemd), systemd.settings.unit),
    start: () => start(systemd),
    stop: (timeoutMs = STOP_TIMEOUT_MS) => stop(systemd, timeoutMs),
  };
}

/** The processes last, so that a server which starts meanwhile is seen. */
async function look({ node, settings, control }: Systemd): Promise<Seen> {
  const answer = await readUnit(settings.unit);
  return { answer, server: await control.readPostmaster(node.dataDir) };
}

function statusOf({ answer, server }: Seen, name: string): ServerStatus {
  if (server.state === 'running') {
    const { pid, port, socketDir, status } = server;
    return { state: 'running', pid, port, socketDir, accepting: status === 'ready' };
  }
  if (answer.state === 'unknown') return { state: 'unknown', why: `systemd does not answer: ${answer.why}` };
  if (server.state === 'unknown') return server;
  const problem = problemOf(answer.unit, name);
  // Whatever unit runs this server may start it again: without knowing it nobody can call it stopped.
  if (problem !== null) return { state: 'unknown', why: problem };
  if (!isDown(answer.unit)) {
    return { state: 'unknown', why: `${describeUnit(answer.unit)}, and its server is not seen: ${server.why}` };
  }
  return { state: 'stopped', why: `${describeUnit(answer.unit)}; ${server.why}` };
}

function isDown({ active, hasJob }: Unit): boolean {
  return (active === 'inactive' || active === 'failed') && !hasJob;
}

/** What systemd says of the unit, when it can stand for this node's server. */
async function readRightUnit({ answer, server }: Seen, { settings, node }: Systemd): Promise<Unit> {
  if (answer.state === 'unknown') {
    throw stepFailure('PreconditionFailed', `systemd does not answer for ${settings.unit}: ${answer.why}`);
  }
  const { unit } = answer;
  await refuseWrongUnit(unit, settings.unit);
  const runs = server.state === 'running' ? server.pid : null;
  if (unit.mainPid === 0 || isDown(unit) || server.state === 'unknown') return unit;
  if (runs === null ? unit.active !== 'active' : await belongsTo(unit, runs)) return unit;
  const there = runs === null ? 'nothing' : `process ${String(runs)}`;
  throw stepFailure(
    'IdentityMismatch',
    `unit ${unit.name} runs process ${String(unit.mainPid)}, and the server of ${node.dataDir} is ${there}`,
    { hint: 'nothing was touched; correct runtime.unit or dataDir' },
  );
}

async function stop(systemd: Systemd, timeoutMs: number): ReturnType<ServerRuntime['stop']> {
  const { settings, node } = systemd;
  const before = await look(systemd);
  const unit = await readRightUnit(before, systemd);
  const status = statusOf(before, settings.unit);
  if (status.state === 'stopped') return { outcome: 'already-stopped', proof: status.why };
  if (isDown(unit)) await stopOutside(systemd, before.server, timeoutMs);
  else await runJob(systemd, 'stop');
  let last: ServerStatus = status;
  const stopped = await pollUntil(
    async () => {
      // Reading the processes costs nothing; systemd is asked once they are gone.
      if ((await systemd.control.readPostmaster(node.dataDir)).state === 'running') return null;
      last = statusOf(await look(systemd), settings.unit);
      return last.state === 'stopped' ? last : null;
    },
    { timeoutMs, everyMs: LOOK_EVERY_MS },
  );
  if (stopped !== null) return { outcome: 'stopped', proof: stopped.why };
  const still = last.state === 'running' ? `pid ${String(last.pid)}` : last.why;
  throw stepFailure('FenceFailed', `unit ${settings.unit} still runs: ${still}`, {
    hint: 'see what the server waits for (checkpoint, archiver, standby), then `pgr retry`',
  });
}

/** A server on this directory that the unit did not start. One that another service looks after would come back: refused. */
async function stopOutside({ settings, node, control }: Systemd, server: Server, timeoutMs: number): Promise<void> {
  if (server.state !== 'running') return;
  const service = await serviceOf(server.pid);
  if (service !== null && service !== settings.unit && service !== (await serviceOf('self'))) {
    throw stepFailure('IdentityMismatch', `the server of ${node.dataDir} runs under ${service}, not ${settings.unit}`, {
      hint: `nothing was touched; correct runtime.unit`,
    });
  }
  await control.stopServer({ dataDir: node.dataDir, timeoutMs });
}

async function start(systemd: Systemd): ReturnType<ServerRuntime['start']> {
  const before = await look(systemd);
  await readRightUnit(before, systemd);
  if (before.server.state === 'unknown') {
    const { dataDir } = systemd.node;
    throw stepFailure('PreconditionFailed', `cannot tell whether a server runs on ${dataDir}: ${before.server.why}`);
  }
  const isThere = before.server.state === 'running';
  if (!isThere) await runJob(systemd, 'start');
  return { outcome: isThere ? 'already-running' : 'started', pid: await waitUntilUp(systemd, isThere) };
}

async function waitUntilUp(systemd: Systemd, mayBeOutside: boolean): Promise<number> {
  const { node, settings } = systemd;
  let last = 'not looked at yet';
  const pid = await pollUntil(
    async () => {
      const seen = await look(systemd);
      const { server, answer } = seen;
      last = server.state === 'running' ? `pid ${String(server.pid)}, ${server.status ?? 'no status yet'}` : server.why;
      if (server.state === 'running' && (server.status === 'ready' || server.status === 'standby')) {
        if (await isSettled(answer, server.pid, mayBeOutside)) return server.pid;
      }
      if (answer.state === 'known' && server.state === 'stopped') await refuseEnded(answer.unit);
      return null;
    },
    { timeoutMs: START_TIMEOUT_MS, everyMs: LOOK_EVERY_MS },
  );
  if (pid !== null) return pid;
  throw stepFailure('DatabaseUnavailable', `unit ${settings.unit} is not ready in time on ${node.dataDir} (${last})`, {
    hint: `it may still be in recovery: \`journalctl -u ${settings.unit}\``,
  });
}

/**
 * The server accepts sessions seconds before Debian's unit is "active" (pg_ctlcluster waits), and until then systemd may still take the start for
 * failed and end it.
 */
async function isSettled(answer: UnitAnswer, pid: number, mayBeOutside: boolean): Promise<boolean> {
  if (answer.state === 'unknown') return false;
  if (isDown(answer.unit)) return mayBeOutside;
  return answer.unit.active === 'active' && (await belongsTo(answer.unit, pid));
}

async function refuseEnded(unit: Unit): Promise<void> {
  if (!isDown(unit) && unit.sub !== 'auto-restart') return;
  const log = await runProgram('journalctl', unitLogArgs(unit.name), { timeoutMs: 10_000 }).catch(() => null);
  const wrote = log === null ? '' : log.stdout.trim().split('\n').slice(-8).join(' | ');
  throw stepFailure('CommandFailed', `${describeUnit(unit)}: ${wrote === '' ? 'nothing in its journal' : wrote}`, {
    hint: `read \`journalctl -u ${unit.name}\` and the server's own log, then \`pgr retry\``,
  });
}

/** Queues the job. What comes of it is read from the state afterwards; here only a refusal counts. */
async function runJob({ settings }: Systemd, verb: 'start' | 'stop'): Promise<void> {
  const words = [...(settings.sudo ? ['sudo', '-n'] : []), 'systemctl', ...unitJobArgs(verb, settings.unit)];
  const [program = 'systemctl', ...args] = words;
  const said = await runProgram(program, args, { timeoutMs: JOB_TIMEOUT_MS });
  if (said.exitCode === 0) return;
  if (!isDenied(said)) throw stepFailure('CommandFailed', describeFailure(said));
  throw stepFailure('NotAllowed', `may not ${verb} ${settings.unit}: ${describeFailure(said)}`, {
    hint: settings.sudo
      ? `allow it in sudoers without a password: systemctl ${unitJobArgs(verb, settings.unit).join(' ')}`
      : 'run the worker as root, or set runtime.sudo and allow systemctl in sudoers',
  });
}

/** 4: no privilege (systemctl); sudo says it in words. */
function isDenied({ exitCode, stderr }: ProgramResult): boolean {
  return (
    exitCode === 4 ||
    /access denied|authentication required|permission denied|password is required|not allowed|not in the sudoers/i.test(
      stderr,
    )
  );
}
