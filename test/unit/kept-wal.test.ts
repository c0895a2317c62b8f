import { neededSegments } from '../../activities/postgres/rebuild/kept-wal.js';
import { parseLsn, type Lsn } from '../../shared/lsn.js';

const at = (text: string): Lsn => parseLsn(text)!;
const MIB = 1024 * 1024;
const need = (startLsn: string, keptFrom: string, timeline: number, ...switches: [number, string][]): string[] =>
  neededSegments({
    startLsn: at(startLsn),
    keptFrom: at(keptFrom),
    timeline,
    switches: switches.map(([from, lsn]) => ({ timeline: from, switchLsn: at(lsn), reason: '' })),
    walSegmentBytes: 16 * MIB,
  });

test('nothing is needed where the slot keeps all from the start of replay on', () => {
  expect(need('0/7000028', '0/7000100', 1)).toEqual([]);
  expect(need('0/7000028', '0/6000100', 2, [1, '0/7000000'])).toEqual([]);
});

test('before a switch the older timeline is read, in the segment of the switch the newer one', () => {
  expect(need('0/6000028', '0/9000100', 2, [1, '0/7800000'])).toEqual([
    '000000010000000000000006',
    '000000020000000000000007',
    '000000020000000000000008',
  ]);
});

test('of several switches in a segment only the last timeline is read there', () => {
  expect(need('0/6000028', '0/9000100', 4, [1, '0/7100000'], [2, '0/7200000'], [3, '0/8000000'])).toEqual([
    '000000010000000000000006',
    '000000030000000000000007',
    '000000040000000000000008',
  ]);
});

test('numbers go on behind a full four gigabytes', () => {
  expect(need('0/FF000028', '1/1000000', 1)).toEqual(['0000000100000000000000FF', '000000010000000100000000']);
});
