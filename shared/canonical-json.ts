/**
 * One text for one value, so that a hash over it means the value and not the order in which somebody wrote its keys (the
 * rules of RFC 8785: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them).
 */

/**
 * `value` as canonical JSON. As in `JSON.stringify`, properties that are `undefined` are left out; anything else that JSON cannot
 * carry (a bigint, NaN, a function, `undefined` inside an array) throws a TypeError, because a hash that ignored it would not bind it.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`canonical json cannot carry ${String(value)}`);
    return JSON.stringify(value);
  }
  if (typeof value !== 'object') throw new TypeError(`canonical json cannot carry a ${typeof value}`);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  if (isConvertible(value)) return canonicalJson(value.toJSON());
  const properties = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${properties.join(',')}}`;
}

function isConvertible(value: object): value is { toJSON: () => unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function';
}
