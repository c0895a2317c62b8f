/**
 * Scenario: a data directory that is a dataset is moved. Verified: nothing is changed on the dataset once it is mounted that makes zfs-fuse mount it anew (which it
 * does in the background: whoever looks meanwhile finds an empty directory).
 */
import { createZfsMover } from '../../activities/snapshot/zfs-move.js';
import type { DataControl } from '../../activities/snapshot/data-control.js';
import type { Properties, Zfs } from '../../activities/snapshot/zfs-program.js';

/** The properties of one pool, without mounts; `/proc` is a mount point everywhere. */
function fakeZfs(datasets: Record<string, Record<string, string>>): { zfs: Zfs; changes: string[][] } {
  const changes: string[][] = [];
  const all = new Map(Object.entries(datasets).map(([name, facts]) => [name, new Map(Object.entries(facts))]));
  const factsOf = (name: string): Map<string, string> => {
    const facts = all.get(name);
    if (facts === undefined) throw new Error(`no dataset ${name}`);
    return facts;
  };
  const seen = (name: string): Properties =>
    new Map([...factsOf(name)].map(([property, value]) => [property, { value, source: 'local' }]));
  const change = (args: readonly string[]): void => {
    changes.push([...args]);
    const [command, ...rest] = args;
    const target = rest.at(-1) ?? '';
    const [property = '', value = ''] = (rest[0] ?? '').split(/=(.*)/s);
    if (command === 'rename') {
      all.set(target, factsOf(rest[0] ?? ''));
      all.delete(rest[0] ?? '');
    } else if (command === 'set') factsOf(target).set(property, value);
    else if (command === 'inherit') factsOf(target).delete(rest[0] ?? '');
    else factsOf(target).set('mounted', command === 'mount' ? 'yes' : 'no');
  };
  const zfs: Zfs = {
    run: () => Promise.reject(new Error('not used')),
    change: (args) => {
      change(args);
      return Promise.resolve();
    },
    get: (target) => Promise.resolve(all.has(target) ? seen(target) : null),
    getAll: (targets) => Promise.resolve(new Map(targets.map((name) => [name, seen(name)]))),
    list: () => Promise.resolve([...all.keys()]),
  };
  return { zfs, changes };
}

const control = {
  directoryState: () => Promise.resolve('missing'),
  requireStopped: () => Promise.resolve(),
} as unknown as DataControl;

test('what decides about mounting is set before a moved dataset is mounted', async () => {
  const { zfs, changes } = fakeZfs({
    tank: { type: 'filesystem' },
    'tank/dallas-kept-1': { type: 'filesystem', mounted: 'yes', mountpoint: '/proc.kept-1', canmount: 'on' },
  });
  const node = { environment: 'lab', name: 'dallas', host: 'dallas', dataDir: '/proc', binDir: '/' };
  const mover = createZfsMover({ node, control, zfs, dataset: 'tank/dallas', sudo: false });
  await mover.move('/proc.kept-1', '/proc');
  const [noted, ...rest] = changes.map((args) => args.join(' '));
  expect(noted).toMatch(/^set pgr:move=/);
  expect(rest).toEqual([
    'set canmount=noauto tank/dallas-kept-1',
    'unmount tank/dallas-kept-1',
    'rename tank/dallas-kept-1 tank/dallas',
    'set mountpoint=/proc tank/dallas',
    'set canmount=on tank/dallas',
    'mount tank/dallas',
    'inherit pgr:move tank/dallas',
  ]);
});
