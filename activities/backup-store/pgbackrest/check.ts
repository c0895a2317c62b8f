/** What `pgr check` says about a stanza. Changes nothing: `pgbackrest check` would switch WAL, and `verify` would read the whole repository. */
import type { BackupStore } from '../../lib/backup-store.js';
import { isSegmentName } from '../../../shared/timeline.js';
import { listWalFiles, readWalFile } from '../wal-archive.js';
import { readStop } from './pause.js';
import { createStanzaView, type Stanza, type StanzaView } from './view.js';

type Line = Awaited<ReturnType<BackupStore['check']>>[number];
type Finding = Pick<Line, 'actual' | 'ok'>;

/** Whether the stanza can be read and has bases, its newest WAL can be read back, and archiving is not stopped on this host. */
export async function checkStanza(source: Stanza): Promise<Line[]> {
  const { stanza } = source;
  const view = createStanzaView(source, null);
  return [
    {
      check: 'stanza',
      expected: `pgbackrest reads stanza ${stanza} and all of its repositories`,
      ...(await describe(() => findBases(view))),
    },
    {
      check: 'wal-readable',
      expected: 'the newest archived wal can be read and is what its name says',
      ...(await describe(() => readNewest(view))),
    },
    {
      check: 'archiving-not-stopped',
      expected: 'no stop file on this host',
      ...(await describe(() => findStop(source))),
    },
  ];
}

async function findBases(view: StanzaView): Promise<Finding> {
  const { bases, systemIdentifier } = await view.catalog();
  const own = bases.filter(({ header }) => header.systemIdentifier === systemIdentifier);
  const notes = await view.notes();
  const found = `${String(own.length)} bases of system ${systemIdentifier ?? 'unknown'}`;
  return { actual: [found, ...notes].join('; '), ok: own.length > 0 && notes.length === 0 };
}

async function readNewest(view: StanzaView): Promise<Finding> {
  const files = (await listWalFiles(view.objects, view.walPrefix)).filter(({ name }) => isSegmentName(name));
  const newest = files.reduce<(typeof files)[number] | null>(
    (best, file) => (best === null || file.archivedAt >= best.archivedAt ? file : best),
    null,
  );
  if (newest === null) return { actual: 'there is no wal', ok: false };
  await readWalFile(view.objects, newest);
  return { actual: `${newest.name} of ${newest.archivedAt}, ${String(files.length)} segments in all`, ok: true };
}

async function findStop({ pgbackrest, stanza }: Stanza): Promise<Finding> {
  const state = await readStop(pgbackrest);
  if (state === 'stopped')
    return { actual: `stanza ${stanza} is stopped: \`pgbackrest --stanza=${stanza} start\``, ok: false };
  const actual = state === 'running' ? 'none' : 'unknown: archive-push does not run on this host, see pgbackrest.conf';
  return { actual, ok: state === 'running' };
}

async function describe(find: () => Promise<Finding>): Promise<Finding> {
  try {
    return await find();
  } catch (error) {
    return { actual: error instanceof Error ? error.message : String(error), ok: false };
  }
}
