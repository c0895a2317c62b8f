import { availableExtras, parseExtras, whyMissing } from '../../../lab/extras.js';
import { whyNoZfs, type Machine } from '../../../lab/zfs-daemon.js';

describe('what a lab can have on this machine', () => {
  const machine: Machine = { isRoot: true, has: () => true, onPath: () => true };
  const without = (what: string): Machine => ({
    ...machine,
    has: (file) => file === '/dev/fuse' && what !== '/dev/fuse',
    onPath: (program) => program !== what,
  });

  it.each([
    ['zfs is not installed', without('zfs')],
    ['needs root', { ...machine, isRoot: false }],
    ['neither the zfs kernel module nor zfs-fuse', without('zfs-fuse')],
    ['needs /dev/fuse', without('/dev/fuse')],
  ])('says why it has no ZFS: %s', (why, facts) => {
    expect(whyNoZfs(facts)).toContain(why);
  });

  it('takes the kernel module without zfs-fuse, and zfs-fuse without the module', () => {
    expect(whyNoZfs(machine)).toBeNull();
    expect(whyNoZfs(without('nothing'))).toBeNull();
    expect(whyNoZfs({ ...without('zfs-fuse'), has: (file) => file === '/sys/module/zfs' })).toBeNull();
  });

  it('knows its words, in any order, and refuses others with the list', () => {
    expect(parseExtras('zfs, haproxy')).toEqual(['haproxy', 'zfs']);
    expect(() => parseExtras('zfs,btrfs')).toThrow('there is no "btrfs"');
  });

  it('says what the lab does without the missing ones', async () => {
    const notes: string[] = [];
    const there = await availableExtras(['zfs'], (text) => notes.push(text));
    const why = await whyMissing('zfs');
    expect([there, notes]).toEqual(
      why === null ? [['zfs'], []] : [[], [expect.stringContaining('plain directories') as string]],
    );
  });
});
