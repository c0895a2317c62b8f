/** Names of dumps, and how new they are. Pure. */

/** What lies beside dumps and is none. */
const COMPANIONS = /\.(metadata|sha256|sha256sum|md5|json|log|tmp|part|partial|sig|asc)$/i;

export function isDumpName(name: string): boolean {
  return !name.startsWith('.') && !COMPANIONS.test(name);
}

/** `*` and `?` in a name. */
export function nameMatches(name: string, glob: string): boolean {
  const text = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${text}$`, 's').test(name);
}

/**
 * The day that a key names (`daily/2026/11/21/shop.dump`, `shop-2026-11-21T03.dump`), as text that sorts; empty when it names none. A copied bucket has
 * new times of writing, the names stay.
 */
export function dayOf(key: string): string {
  const found = [...key.matchAll(/(?<!\d)(20\d\d)[/_-]?([01]\d)[/_-]?([0-3]\d)(?!\d)/g)].at(-1);
  return found === undefined ? '' : `${found[1] ?? ''}-${found[2] ?? ''}-${found[3] ?? ''}`;
}
