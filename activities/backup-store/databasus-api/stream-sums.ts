/** MANIFEST.sha256 of a restore stream against the checksums of what came. Pure. */
import { stepFailure } from '../../lib/failure.js';
import { CutStream } from './stream-tar.js';

const LINE = /^([0-9a-f]{64}) [ *](.+)$/;

/** Throws CutStream when a named file did not come, or one came that is not named; BackupCorrupt when one came changed. */
export function compareSums(text: string, sums: ReadonlyMap<string, string>, own: string): void {
  const told = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, hex = '', path] = LINE.exec(line) ?? [];
    if (path === undefined) throw new CutStream(`has a ${own} that is not understood`);
    told.set(path, hex);
  }
  for (const [path, hex] of told) {
    const came = sums.get(path);
    if (came === undefined) throw new CutStream(`lacks ${path}, which its ${own} names`);
    if (came === hex) continue;
    throw stepFailure('BackupCorrupt', `${path} of the restore stream differs from its checksum in ${own}`);
  }
  const [stray] = [...sums.keys()].filter((path) => path !== own && !told.has(path));
  if (stray !== undefined) throw new CutStream(`has ${stray}, which its ${own} does not name`);
}
