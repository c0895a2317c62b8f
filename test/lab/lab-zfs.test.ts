/**
 * Scenario: a lab whose nodes have their data on ZFS (`pgr lab up --with zfs`); a standby is rebuilt, brought back and rebuilt again; the lab crashes, goes down,
 * comes up. Verified: (1) each data directory is a dataset of its own and the config names it; (2) rebuild, undo and prune work with snapshots and
 * holds; (3) down exports the pool, may be called twice, and up imports it with everything in it, also after a crash; (4) nothing is left after destroy.
 * Needs root and ZFS (kernel module or zfs-fuse).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { parse } from 'yaml';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { listPools } from '../../lab/zfs-daemon.js';
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { shortRunId } from '../../shared/ids.js';
import { TestLab } from '../support/lab.js';
import { zfsMissing } from '../support/zfs.js';

jest.setTimeout(600_000);

const missing = zfsMissing();
if (missing !== null) console.warn(`skipped: ${missing}`);
const group = missing === null ? describe : describe.skip;

type Nodes = { name: string; snapshot: { kind: string; dataset: string } }[];

group('a lab on ZFS', () => {
  let lab: TestLab;
  let nodes: Nodes;
  let pool: string;
  beforeAll(async () => {
    lab = await TestLab.up(['--with', 'zfs']);
    const { config } = await lab.status();
    const document = parse(await readFile(config, 'utf8')) as { environments: { lab: { nodes: Nodes } } };
    nodes = document.environments.lab.nodes;
    pool = nodes[0]?.snapshot.dataset.split('/')[0] ?? '';
  });
  afterAll(() => TestLab.destroyAll());

  const datasetOf = (node: string): string => nodes.find(({ name }) => name === node)?.snapshot.dataset ?? '';
  const get = async (target: string, property: string) =>
    (await runProgramOrFail('zfs', ['get', '-H', '-p', '-o', 'value', property, target])).trim();
  const copies = async () => (await lab.json<{ copies: SafetyCopy[] }>(['snapshots', 'list', 'lab'])).copies;
  const countOrders = async () => Number((await lab.query<{ n: string }>('select count(*) n from orders'))[0]?.n);

  async function runThrough(args: string[]): Promise<string> {
    const { run } = await lab.json<{ run: string }>([...args, '--by', 'ana']);
    const waiting = await lab.waitFor(run, ['waiting-approval', 'failed', 'needs-attention', 'rejected']);
    expect([args.join(' '), waiting.status, waiting.failure ?? null]).toEqual([
      args.join(' '),
      'waiting-approval',
      null,
    ]);
    const approved = await lab.approve(run);
    expect(approved.exitCode).toBe(0);
    const ended = await lab.waitFor(run, ['completed', 'failed', 'needs-attention'], { timeoutMs: 300_000 });
    expect([args.join(' '), ended.status, ended.failure ?? null]).toEqual([args.join(' '), 'completed', null]);
    return `${run}@${ended.runId}`;
  }

  test('each data directory is a dataset of its own', async () => {
    const status = await lab.status();
    expect(status.state).toBe('up');
    for (const { name, dataDir, role } of status.nodes) {
      expect([role, await get(datasetOf(name), 'mountpoint')]).toEqual([role, dataDir]);
      expect(await get(datasetOf(name), 'recordsize')).toBe('8192');
    }
    expect(status.nodes.map(({ role }) => role)).toEqual(['primary', 'standby']);
  });

  test('a standby is rebuilt beside a held snapshot, comes back, and old copies are pruned', async () => {
    const first = await runThrough(['rebuild-standby', 'lab', 'chicago', '--method', 'basebackup']);
    const [copy] = await copies();
    expect(copy).toMatchObject({ provider: 'zfs', node: 'chicago', verified: true });
    expect(await get(copy!.name, 'userrefs')).toBe('1');
    await runThrough(['undo', first]);
    const { nodes: after } = await lab.status();
    expect(after.map(({ role }) => role)).toEqual(['primary', 'standby']);
    expect((await copies()).map(({ name }) => name)).toEqual([copy!.name]);
    await runThrough(['rebuild-standby', 'lab', 'chicago', '--method', 'basebackup']);
    const both = await copies();
    expect(both).toHaveLength(2);
    // What the undo set aside hangs on the older snapshot.
    await runProgramOrFail('zfs', ['destroy', `${datasetOf('chicago')}-undone-${shortRunId(both[0]!.runId)}`]);
    await runThrough(['snapshots', 'prune', 'lab', '--keep', '1']);
    expect((await copies()).map(({ name }) => name)).toEqual([both[1]!.name]);
  });

  test('down exports the pool, also after a crash and when called twice, and up brings everything back', async () => {
    const before = await countOrders();
    for (const { pid } of (await lab.status()).nodes) await lab.kill(pid);
    await expect(lab.json<{ stopped: string[] }>(['lab', 'down'])).resolves.toMatchObject({
      stopped: expect.arrayContaining(['zfs']) as string[],
    });
    expect((await listPools()) ?? []).not.toContain(pool);
    await expect(lab.json<{ stopped: string[] }>(['lab', 'down'])).resolves.toMatchObject({ stopped: [] });
    const again = await lab.pgr(['lab', 'up'], { timeoutMs: 240_000 });
    expect([again.exitCode, again.stderr]).toEqual([0, expect.stringContaining('imported') as string]);
    expect(await countOrders()).toBeGreaterThanOrEqual(before);
    expect(await copies()).toHaveLength(1);
  });

  test('destroy leaves nothing', async () => {
    const { nodes: all, dir } = await lab.status();
    await lab.json(['lab', 'destroy']);
    expect((await listPools()) ?? []).not.toContain(pool);
    expect([existsSync(dir), ...all.map(({ dataDir }) => existsSync(dataDir))]).toEqual([false, false, false]);
    expect(await readFile('/proc/mounts', 'utf8')).not.toContain(pool);
  });
});
