/**
 * Acts on one HAProxy. What it does on a change of state was measured with 2.6: a server that leaves maintenance with `state ready` is UP at once, until
 * its first failed check up to a second later, whatever its health was before. So it leaves through drain, where it gets no session, is marked down
 * there, and only then becomes ready: from `health down` on it takes a check that succeeds to bring it up.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { TopologyRouter } from '../../shared/contracts/topology.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { RuntimeApi } from './haproxy-api.js';
import { checkOf, parseForced, parseStat, serversOf, sessionsOf, stateOf, type StatRow } from './haproxy-stat.js';

/** A server in maintenance or drain that no longer has the flag, but no health yet either. */
const FAULT_DRAINED_BEFORE_DOWN = 'haproxy:drained';

export type Instance = {
  name: string;
  backend: string;
  api: RuntimeApi;
  timeoutMs: number;
};

type Server = { state: TopologyRouter['state']; check: string; sessions: number | null };

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 20;

/** The servers of the backend by name. Throws RoutingUnavailable for an answer that is none, ConfigInvalid for a backend that is not there. */
export async function readServers({ name, backend, api }: Instance): Promise<Map<string, Server>> {
  const text = await api.ask(`show stat ${backend} 4 -1`);
  const rows = parseStat(text);
  if (rows !== null) return new Map(serversOf(rows, backend).map((row) => [row['svname'] ?? '', describe(row)]));
  if (!text.startsWith('No such proxy')) throw refused(name, `show stat ${backend}`, text);
  throw stepFailure('ConfigInvalid', `haproxy ${name} has no backend "${backend}"`, {
    hint: 'set routing.backend to its name; `pgr config haproxy` prints a file that fits',
  });
}

const describe = (row: StatRow): Server => ({ state: stateOf(row), check: checkOf(row), sessions: sessionsOf(row) });

/** Found out before anything depends on it. Throws ConfigInvalid for a missing server, NotAllowed for a socket that may only look. */
export async function requireCommand(instance: Instance, servers: readonly string[]): Promise<void> {
  const found = await readServers(instance);
  const missing = servers.filter((server) => !found.has(server));
  if (missing.length > 0) {
    const there = [...found.keys()].join(', ');
    throw stepFailure(
      'ConfigInvalid',
      `haproxy ${instance.name} has no server ${missing.join(', ')} in ${instance.backend}`,
      {
        hint: `it has ${there}; name them in routing.servers`,
      },
    );
  }
  const level = (await instance.api.ask('show cli level')).trim();
  if (level === 'admin') return;
  throw stepFailure(
    'NotAllowed',
    `the stats socket of haproxy ${instance.name} has level ${level.slice(0, 40)}, not admin`,
    {
      hint: 'write `level admin` behind the stats socket in haproxy.cfg and reload HAProxy',
    },
  );
}

/** In maintenance and without a session. */
export async function fenceServer(instance: Instance, server: string): Promise<void> {
  const said = await tell(instance, server, ['state maint']);
  await until(instance, server, said, 'is not fenced', async (now) => {
    if (now.state === 'maint' && now.sessions === 0) return true;
    // Sessions that were being made when the maintenance began have arrived by now.
    await instance.api.ask(`shutdown sessions server ${instance.backend}/${server}`);
    return false;
  });
}

/** Up at once; every other server that could take a session is fenced first, so that there is no moment with two. */
export async function routeTo(instance: Instance, server: string): Promise<void> {
  const others = [...(await readServers(instance))].filter(
    ([name, { state }]) => name !== server && (state === 'up' || state === 'drain'),
  );
  await Promise.all(others.map(([name]) => fenceServer(instance, name)));
  // `ready` first: leaving maintenance sets the health anew, and `up` makes it full, so that it takes `fall` failed checks to go down again.
  const said = await tell(instance, server, ['state ready', 'health up']);
  await until(instance, server, said, 'is not up', (now) => Promise.resolve(now.state === 'up'));
}

/** Nothing forces it any more. A server that nobody forces is left as it is: marking the primary down would end its sessions. */
export async function releaseServer(instance: Instance, server: string): Promise<void> {
  if (!(await isForced(instance, server))) return;
  let said = await tell(instance, server, ['state drain']);
  faultPoint(FAULT_DRAINED_BEFORE_DOWN);
  said += await tell(instance, server, ['health down', 'state ready']);
  if (!(await isForced(instance, server))) return;
  throw refused(instance.name, `set server ${server} state ready`, said);
}

async function isForced({ name, backend, api }: Instance, server: string): Promise<boolean> {
  const text = await api.ask(`show servers state ${backend}`);
  const forced = parseForced(text)?.get(server);
  if (forced === undefined) throw refused(name, `show servers state ${backend}`, text);
  return forced;
}

/** What it answered: nothing, when it did as told. Whether it did is read from the state. */
async function tell({ backend, api }: Instance, server: string, changes: readonly string[]): Promise<string> {
  let said = '';
  for (const change of changes) said += await api.ask(`set server ${backend}/${server} ${change}`);
  return said;
}

/** Looks until `reached`, at first at once. Throws RoutingUnavailable with the last state when the time is up. */
async function until(
  instance: Instance,
  server: string,
  said: string,
  problem: string,
  reached: (now: Server) => Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + instance.timeoutMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const now = (await readServers(instance)).get(server);
    if (now !== undefined && (await reached(now))) return;
    if (Date.now() >= deadline) {
      const state =
        now === undefined ? 'it is not there' : `${now.state}, ${String(now.sessions)} sessions, check ${now.check}`;
      throw stepFailure(
        'RoutingUnavailable',
        `haproxy ${instance.name}: ${server} ${problem}: ${state}${quoted(said)}`,
      );
    }
    await delay(pause);
  }
}

function refused(instance: string, command: string, text: string): Error {
  return stepFailure('RoutingUnavailable', `haproxy ${instance} did not understand "${command}"${quoted(text)}`);
}

const quoted = (text: string): string => (text.trim() === '' ? '' : `; it said: ${text.trim().slice(0, 160)}`);
