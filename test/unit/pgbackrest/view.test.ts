/** A stanza as if it had our own layout. */
import { createHash } from 'node:crypto';

import { createStanzaView, readInfo, type Stanza } from '../../../activities/backup-store/pgbackrest/view.js';
import { listWalFiles, readWalFile } from '../../../activities/backup-store/wal-archive.js';
import { segmentOf } from '../../support/wal-segment.js';
import { INFO_260, INFO_TWO_REPOSITORIES } from './answers.js';

const NAME = '000000010000000000000003';
const SYSTEM = '7710700282052249458';
const segment = segmentOf(NAME);
const sha1 = createHash('sha1').update(segment).digest('hex');
const PARENT = '0000000100000000';

/** A repository of files; says what was asked. */
function stanzaOf(info: string, files: Record<string, Record<string, Buffer>>): Stanza & { asked: string[] } {
  const asked: string[] = [];
  const read = (args: readonly string[]): Promise<Buffer> => {
    const [command, target = '', ...options] = args;
    asked.push(args.filter((arg) => !arg.startsWith('--log') && arg !== '--no-log-timestamp').join(' '));
    if (command === 'info') return Promise.resolve(Buffer.from(info));
    const repo = options.find((option) => option.startsWith('--repo='))!.slice('--repo='.length);
    const own = files[repo] ?? {};
    if (command === 'repo-get') return Promise.resolve(own[target]!);
    const below = Object.keys(own).filter((file) => file.startsWith(`${target}/`));
    const entries = below.map((file) => [
      file.slice(target.length + 1),
      { type: 'file', size: own[file]!.length, time: 1795287310 },
    ]);
    return Promise.resolve(Buffer.from(JSON.stringify({ '.': { type: 'path' }, ...Object.fromEntries(entries) })));
  };
  const follow = (): never => {
    throw new Error('nothing long is run here');
  };
  return { pgbackrest: { read, follow }, stanza: 'main', repo: null, systemIdentifier: null, asked };
}

const fileOf = (name: string, ending = ''): string => `archive/main/18-1/${PARENT}/${name}-${sha1}${ending}`;

test('a segment is found under its plain name and read back, with the digest of its name checked', async () => {
  const source = stanzaOf(INFO_260, { 1: { [fileOf(NAME)]: segment } });
  const view = createStanzaView(source, null);
  const [file] = await listWalFiles(view.objects, view.walPrefix);
  expect(file).toMatchObject({ name: NAME, compression: 'none', sha1, archivedAt: '2026-11-21T18:55:10.000Z' });
  expect((await readWalFile(view.objects, file!)).equals(segment)).toBe(true);
});

test('a segment with one other bit is not taken for what was archived', async () => {
  const other = Buffer.from(segment);
  other[segment.length - 1]! ^= 1;
  const view = createStanzaView(stanzaOf(INFO_260, { 1: { [fileOf(NAME)]: other } }), null);
  const [file] = await listWalFiles(view.objects, view.walPrefix);
  await expect(readWalFile(view.objects, file!)).rejects.toMatchObject({
    type: 'WalCorrupt',
    message: expect.stringContaining('SHA-1') as string,
  });
});

test('what one repository does not have comes from the other', async () => {
  const second = '000000010000000000000004';
  const source = stanzaOf(INFO_TWO_REPOSITORIES, {
    1: { [fileOf(NAME)]: segment },
    2: { [fileOf(NAME)]: Buffer.from('not asked for'), [fileOf(second)]: segment },
  });
  const view = createStanzaView(source, null);
  const files = await listWalFiles(view.objects, view.walPrefix);
  expect(files.map(({ name }) => name)).toEqual([NAME, second]);
  for (const file of files) await view.objects.get(file.key);
  expect(source.asked.filter((one) => one.startsWith('repo-get'))).toEqual([
    `repo-get ${fileOf(NAME)} --repo=1`,
    `repo-get ${fileOf(second)} --repo=2`,
  ]);
});

test('one file is looked for in its folder only', async () => {
  const source = stanzaOf(INFO_260, {});
  const view = createStanzaView(source, null);
  await view.objects.list(`wal/${NAME}`);
  await view.objects.list('wal/00000002.history');
  expect(source.asked.slice(1)).toEqual([
    `repo-ls archive/main/18-1/${PARENT} --output=json --filter=^${NAME} --repo=1`,
    'repo-ls archive/main/18-1 --output=json --filter=^00000002\\.history --repo=1',
  ]);
});

test('wal in a compression that nobody here reads is said to be missing', async () => {
  const view = createStanzaView(stanzaOf(INFO_260, { 1: { [fileOf(NAME, '.lzo')]: segment } }), null);
  expect(await listWalFiles(view.objects, view.walPrefix)).toEqual([]);
  expect(await view.notes()).toEqual([expect.stringMatching(/1 wal files .*\.lzo.* count as missing/)]);
});

test('timelines that were given up are read from the notes at the bases', async () => {
  const marked = INFO_260.replace('"pgr-id":', '"pgr-abandoned-0000000A":"run","pgr-abandoned-x":"","pgr-id":');
  const view = createStanzaView(stanzaOf(marked, {}), null);
  expect((await view.objects.list('abandoned/')).map(({ key }) => key)).toEqual(['abandoned/0000000A.json']);
});

test('nothing is written', async () => {
  const { objects } = createStanzaView(stanzaOf(INFO_260, {}), null);
  await expect(objects.put('a', Buffer.from(''))).rejects.toMatchObject({ type: 'NotAllowed' });
});

test('a stanza of another cluster than the config names is refused', async () => {
  await expect(readInfo({ ...stanzaOf(INFO_260, {}), systemIdentifier: '1' })).rejects.toMatchObject({
    type: 'IdentityMismatch',
  });
  await expect(readInfo({ ...stanzaOf(INFO_260, {}), systemIdentifier: SYSTEM })).resolves.toBeDefined();
});
