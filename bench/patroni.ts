/**
 * A pair under Patroni with etcd, and HAProxy in front of it: what our flip is compared with. Everything runs as the user of the servers; each process is
 * held by pid and start mark and ended at the end, the servers that Patroni started included.
 */
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { identify } from '../activities/lib/process-identity.js';
import { stopServer } from '../activities/postgres/server.js';
import { stopProcess } from '../lab/process.js';
import type { ServerUser } from '../lab/server-user.js';
import type { Closers } from './closers.js';
import { query, until } from './flip-lab.js';
import type { Way } from './flip-measure.js';
import {
  etcdArgs,
  patroniHaproxyCfg,
  patroniYaml,
  switchoverArgs,
  type PatroniNode,
  type PatroniSettings,
} from './patroni-config.js';
import type { PatroniTools } from './patroni-tools.js';
import { freePorts, runProgram, startProgram } from './processes.js';

export type PatroniPlace = { dir: string; binDir: string; user: ServerUser | null; tools: PatroniTools };

type Member = { name: string; role: string; state: string; lag?: number | string };

/** Patroni stops its server before it ends. */
const STOP_GRACE_MS = 20_000;

/** Starts a new pair with these settings and waits until it is whole. `closers` gets what ends it. */
export async function startPatroni(
  place: PatroniPlace,
  settings: PatroniSettings,
  closers: Closers,
): Promise<Omit<Way, 'name'>> {
  const { dir, binDir, user, tools } = place;
  await ownDirectory(dir, user);
  const [etcdPort = 0, peerPort = 0, vipPort = 0, ...ports] = await freePorts(7);
  const passwords = { superuser: randomBytes(12).toString('hex'), replication: randomBytes(12).toString('hex') };
  const nodes = ['dallas', 'chicago'].map((name, at): PatroniNode => {
    const own = path.join(dir, name);
    return { name, port: ports[at] ?? 0, restPort: ports[at + 2] ?? 0, dataDir: own, passFile: `${own}.pgpass` };
  });
  const start = async (program: string, args: string[], name: string): Promise<void> => {
    const child = startProgram(program, args, path.join(dir, `${name}.log`), { user });
    const identity = child.pid === undefined ? null : await identify(child.pid);
    if (identity === null) throw new Error(`${name} did not start: see ${path.join(dir, `${name}.log`)}`);
    closers.add(() => stopProcess(identity, STOP_GRACE_MS));
  };
  // Last of all, and so also when Patroni had to be killed.
  for (const { dataDir } of nodes) closers.add(() => stopServer({ dataDir, mode: 'immediate' }));
  await start(tools.etcd, etcdArgs(path.join(dir, 'etcd'), etcdPort, peerPort), 'etcd');
  for (const node of nodes) {
    await ownFile(configOf(dir, node), patroniYaml(node, { binDir, etcdPort, settings, passwords }), user);
    await start(tools.patroni, [configOf(dir, node)], node.name);
  }
  await ownFile(path.join(dir, 'haproxy.cfg'), patroniHaproxyCfg(vipPort, nodes, settings), user);
  await start(tools.haproxy, ['-db', '-f', path.join(dir, 'haproxy.cfg')], 'haproxy');
  const url = `postgresql://postgres:${passwords.superuser}@127.0.0.1:${String(vipPort)}/postgres`;
  await untilWhole(nodes);
  await until(() => query(url, 'select 1').catch(() => null));
  return { url: () => Promise.resolve(url), flip: () => switchOver(place, nodes) };
}

/** `patronictl switchover`, from its start until it returns; before it both members are there and level. */
async function switchOver({ dir, tools, user }: PatroniPlace, nodes: readonly PatroniNode[]): Promise<number> {
  const members = await untilWhole(nodes);
  const leader = members.find(({ role }) => role === 'leader')?.name ?? '';
  const candidate = nodes.find(({ name }) => name !== leader)?.name ?? '';
  const [config = ''] = nodes.map((node) => configOf(dir, node));
  const startedAt = Date.now();
  const said = await runProgram(tools.patronictl, switchoverArgs(config, leader, candidate), { user });
  if (!/Successfully switched over/.test(said)) throw new Error(`patronictl said: ${said.trim()}`);
  return Date.now() - startedAt;
}

/** A leader, and a replica that streams without lag. */
async function untilWhole(nodes: readonly PatroniNode[]): Promise<Member[]> {
  return until(async () => {
    for (const { restPort } of nodes) {
      const members = await readMembers(restPort);
      const isWhole =
        members.some(({ role, state }) => role === 'leader' && state === 'running') &&
        members.some(({ role, state, lag }) => role === 'replica' && state === 'streaming' && Number(lag) < 16_384);
      if (isWhole) return members;
    }
    return null;
  });
}

async function readMembers(restPort: number): Promise<Member[]> {
  try {
    const response = await fetch(`http://127.0.0.1:${String(restPort)}/cluster`, {
      signal: AbortSignal.timeout(2_000),
    });
    return ((await response.json()) as { members: Member[] }).members;
  } catch {
    return []; // not started yet
  }
}

function configOf(dir: string, node: PatroniNode): string {
  return path.join(dir, `${node.name}.yml`);
}

async function ownDirectory(dir: string, user: ServerUser | null): Promise<void> {
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o700);
  if (user !== null) await chown(dir, user.uid, user.gid);
}

async function ownFile(file: string, text: string, user: ServerUser | null): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
  if (user !== null) await chown(file, user.uid, user.gid);
}
