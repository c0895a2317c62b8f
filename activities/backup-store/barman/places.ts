/** A Barman and where it keeps things. */
import { parseServer, type ShownServer } from './answers.js';
import { createCatalogReader, type CatalogReader } from './catalog.js';
import { showServerArgs } from './commands.js';
import { createBarmanFiles, type BarmanFiles } from './files.js';
import type { Barman } from './run.js';
import { walOf, type StoredWal } from './wal-files.js';

/** What does not change from one look to the next. */
export type BarmanPlaces = {
  barman: Barman;
  files: BarmanFiles;
  catalog: CatalogReader;
  /** Directories of the server; asked once, because Barman connects to PostgreSQL for the answer. */
  directories: () => Promise<Directories>;
};

type Directories = Pick<
  ShownServer,
  'backup_directory' | 'wals_directory' | 'streaming_wals_directory' | 'incoming_wals_directory'
>;

/** Nothing is asked yet. */
export function createPlaces(barman: Barman): BarmanPlaces {
  const { server } = barman.config;
  let asked: Promise<Directories> | null = null;
  const ask = async (): Promise<Directories> => parseServer(await barman.ask(showServerArgs(server)), server);
  return {
    barman,
    files: createBarmanFiles(barman),
    catalog: createCatalogReader(barman),
    directories: () => {
      asked ??= ask();
      asked.catch(() => (asked = null));
      return asked;
    },
  };
}

/** WAL files whose names begin with `prefix`, each once. */
export async function listWal({ files, directories }: BarmanPlaces, prefix: string): Promise<StoredWal[]> {
  const dirs = await directories();
  const look = async (place: 'archive' | 'incoming' | 'streaming', dir: string | null | undefined) => ({
    place,
    files: dir === null || dir === undefined ? [] : await files.list(dir, prefix),
  });
  // A file on its way is moved while we look: looked for where it comes from first, it is seen in one place at least.
  const streaming = await look('streaming', dirs.streaming_wals_directory);
  const incoming = await look('incoming', dirs.incoming_wals_directory);
  const archive = await look('archive', dirs.wals_directory);
  return walOf([archive, incoming, streaming]);
}
