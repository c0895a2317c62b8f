/** Which dataset a place of the node's data is. Pure. */
import { stepFailure } from '../lib/failure.js';

/** Allowed in names of datasets by every ZFS (`+` is not by zfs-fuse). */
const NAME_PART = /^[A-Za-z0-9._:-]+$/;

/** `<dataDir>` is the dataset of the config, `<dataDir>.kept-x` is `<dataset>-kept-x` beside it. Throws Bug for any other place. */
export function datasetAt(dataset: string, dataDir: string, place: string): string {
  if (place === dataDir) return dataset;
  const rest = place.startsWith(`${dataDir}.`) ? place.slice(dataDir.length + 1) : '';
  if (NAME_PART.test(rest)) return `${dataset}-${rest}`;
  throw stepFailure('Bug', `${place} is no place beside ${dataDir}`);
}

/** The dataset around: where new ones are made. */
export function parentOf(dataset: string): string {
  return dataset.slice(0, dataset.lastIndexOf('/'));
}

/** The dataset of a snapshot. */
export function datasetOf(snapshot: string): string {
  return snapshot.replace(/@.*$/, '');
}

/** Datasets of this node among `names`: its own and those beside it that its runs made. */
export function ownDatasets(dataset: string, names: readonly string[]): string[] {
  const beside = ['kept-', 'undone-', 'new-'].map((kind) => `${dataset}-${kind}`);
  return names.filter((name) => name === dataset || beside.some((prefix) => name.startsWith(prefix)));
}

/** Not copied to a dataset that takes the place of another one: where it is mounted, and space that may not be there twice. */
const NOT_COPIED = new Set(['mountpoint', 'canmount', 'reservation', 'refreservation', 'readonly', 'keylocation']);

/** Properties for a dataset like the one that printed `text` (`zfs get -H -s local -o property,value all`). */
export function likeProperties(text: string): { copied: Record<string, string>; mountpoint: string | undefined } {
  const local = new Map(text.split('\n').map((line) => line.split('\t', 2) as [string, string]));
  const copied = [...local].filter(([name]) => name !== '' && !name.startsWith('pgr:') && !NOT_COPIED.has(name));
  return { copied: Object.fromEntries(copied), mountpoint: local.get('mountpoint') };
}
