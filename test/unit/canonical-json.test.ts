import fc from 'fast-check';

import { canonicalJson } from '../../shared/canonical-json.js';

/** The same value with the keys of every object in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  );
}

describe('canonicalJson', () => {
  test('sorts keys at every depth and keeps the order of arrays', () => {
    expect(canonicalJson({ b: [{ z: 1, a: null }, 2], a: 'x' })).toBe('{"a":"x","b":[{"a":null,"z":1},2]}');
  });

  test('leaves out undefined properties, so a plan read back from history has the same text', () => {
    const plan = { b: undefined, a: 1, c: { d: undefined } };
    expect(canonicalJson(plan)).toBe(canonicalJson(JSON.parse(JSON.stringify(plan))));
  });

  test('refuses what json cannot carry instead of dropping it from the hash', () => {
    for (const value of [1n, NaN, Infinity, undefined, [undefined], () => 1])
      expect(() => canonicalJson(value)).toThrow(TypeError);
  });

  test('the text does not depend on key order, and reads back as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(reversed(value))).toBe(text);
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify(JSON.parse(canonicalJson(JSON.parse(text)))));
        expect(canonicalJson(JSON.parse(JSON.stringify(value)))).toBe(text);
      }),
    );
  });
});
