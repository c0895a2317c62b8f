import { createHash } from 'node:crypto';
import fc from 'fast-check';

import { sha256Hex } from '../../shared/sha256.js';

const reference = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

describe('sha256Hex', () => {
  test('agrees with the examples of FIPS 180-4', () => {
    expect(sha256Hex('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(sha256Hex('a'.repeat(100_000))).toBe(reference('a'.repeat(100_000)));
  });

  test('agrees with node:crypto at every length around the block boundaries', () => {
    for (let length = 0; length <= 200; length += 1)
      expect(sha256Hex('x'.repeat(length))).toBe(reference('x'.repeat(length)));
  });

  test('agrees with node:crypto for every text, emoji and lone surrogates included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        expect(sha256Hex(text)).toBe(reference(text));
      }),
      { numRuns: 500 },
    );
    expect(sha256Hex('\ud800 x')).toBe(reference('\ud800 x'));
    expect(sha256Hex('zürich 🐘 数据库')).toBe(reference('zürich 🐘 数据库'));
  });
});
