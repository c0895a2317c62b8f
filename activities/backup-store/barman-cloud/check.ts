/** What `pgr check` says about a barman-cloud bucket. */
import type { BarmanCloudConfig } from '../../../config/schema.js';
import { isSegmentName } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { listWalFiles } from '../wal-archive.js';
import type { ObjectStore } from '../s3-objects.js';
import { readCatalog } from './catalog.js';
import { baseFolder, walFolder } from './object-names.js';
import { createBarmanView } from './view.js';

type Finding = { actual: string; ok: boolean };

/** Whether the bucket can be read, has a base that can be restored from here, and its WAL can be read here. */
export async function checkBarmanStore(
  objects: Pick<ObjectStore, 'list' | 'get'>,
  config: BarmanCloudConfig,
): ReturnType<BackupStore['check']> {
  const where = `${config.bucket} at ${config.endpoint ?? 's3.amazonaws.com'}`;
  const at = (folder: string): string => `${config.prefix}${folder} of ${where}`;
  return [
    {
      check: 'bases-usable',
      expected: `a base below ${at(baseFolder(config.server))} can be restored`,
      ...(await describe(() => findBases(objects, config.server))),
    },
    {
      check: 'wal-readable',
      expected: `wal below ${at(walFolder(config.server))} can be read`,
      ...(await describe(() => findWal(objects, config.server))),
    },
  ];
}

async function findBases(objects: Pick<ObjectStore, 'list' | 'get'>, server: string): Promise<Finding> {
  const { bases, notes } = await readCatalog(objects, server);
  const unusable = bases.flatMap(({ header }) =>
    header.unusable === undefined ? [] : [`base ${header.id}: ${header.unusable}`],
  );
  const usable = bases.length - unusable.length;
  const actual = [`${String(usable)} of ${String(bases.length)} bases`, ...unusable, ...notes].join('; ');
  return { actual, ok: usable > 0 };
}

async function findWal(objects: Pick<ObjectStore, 'list' | 'get'>, server: string): Promise<Finding> {
  const view = createBarmanView(objects, server);
  const segments = (await listWalFiles(view.objects, view.walPrefix)).filter(({ name }) => isSegmentName(name));
  const newest = segments.at(-1);
  const found = newest === undefined ? 'no segments' : `${String(segments.length)} segments, newest ${newest.name}`;
  return { actual: [found, ...view.notes()].join('; '), ok: newest !== undefined && view.notes().length === 0 };
}

async function describe(find: () => Promise<Finding>): Promise<Finding> {
  try {
    return await find();
  } catch (error) {
    return { actual: error instanceof Error ? error.message : String(error), ok: false };
  }
}
