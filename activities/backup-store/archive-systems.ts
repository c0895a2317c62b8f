/** Of which clusters the bases and the WAL of an archive are. Two of them in one place make both useless: the names of WAL files repeat. */
import { isSegmentName } from '../../shared/timeline.js';
import { listBases } from './base-catalog.js';
import type { StoreContext } from './timeline-archive.js';
import { listWalFiles, readWalFile, walCorrupt, type WalFile } from './wal-archive.js';
import { readWalPageHeader } from './wal-page.js';

/**
 * System identifiers, sorted; empty for an archive that holds nothing. Of the WAL the first and the last segment of every timeline are read: what two
 * clusters wrote lies one behind the other, each from its own beginning. Throws WalCorrupt when one of them does not say, BackupCorrupt for a broken base.
 */
export async function archiveSystems({ objects, walPrefix }: StoreContext): Promise<string[]> {
  const systems = new Set((await listBases(objects)).map(({ systemIdentifier }) => systemIdentifier));
  for (const file of endsOfTimelines(await listWalFiles(objects, walPrefix))) {
    const header = readWalPageHeader(await readWalFile(objects, file));
    if (header === null) throw walCorrupt(file, 'does not say of which cluster it is');
    systems.add(header.systemIdentifier);
  }
  return [...systems].sort();
}

/** The first and the last segment of each timeline; files are sorted by name. Pure. */
function endsOfTimelines(files: readonly WalFile[]): WalFile[] {
  const ends = new Map<string, [WalFile, WalFile]>();
  for (const file of files) {
    if (!isSegmentName(file.name) || file.isGrowing === true) continue;
    const timeline = file.name.slice(0, 8);
    ends.set(timeline, [ends.get(timeline)?.[0] ?? file, file]);
  }
  return [...new Set([...ends.values()].flat())];
}
