/**
 * Takes secrets out of texts. It knows every value that this process resolved, in the forms in which programs and services give them back:
 * as it is, in JSON, in a URL, in a form, and in base64 wherever it stands there (`user:password` of an Authorization header).
 */
export type SecretMask = {
  /** From now on the value is masked. */
  learn(value: string): void;
  mask(text: string): string;
  /** Masks message, stack, details and causes of an error in place, and returns it. */
  maskError(error: unknown): unknown;
};

const MASK = '***';

/** Values shorter than this would mask parts of ordinary words. */
const SHORTEST_SECRET = 4;
/** A piece of base64 shorter than this stands in many texts by chance. */
const SHORTEST_BASE64 = 8;
/** Rotated secrets are forgotten one day: the newest of them are kept. */
const MOST_VALUES = 500;

export function createSecretMask(): SecretMask {
  const formsOf = new Map<string, string[]>();
  let needles: string[] = [];
  const mask = (text: string): string =>
    needles.reduce((result, needle) => (result.includes(needle) ? result.split(needle).join(MASK) : result), text);
  return {
    learn(value) {
      if (value.length < SHORTEST_SECRET || formsOf.has(value)) return;
      const oldest = formsOf.keys().next();
      if (formsOf.size >= MOST_VALUES && oldest.done !== true) formsOf.delete(oldest.value);
      formsOf.set(value, secretForms(value));
      // The longest first: one secret may be part of another.
      needles = [...new Set([...formsOf.values()].flat())].sort((a, b) => b.length - a.length);
    },
    mask,
    maskError: (error) => {
      maskInPlace(error, mask, new Set());
      return error;
    },
  };
}

/** Every text that gives a secret away. Lines of a key count each by itself: logs are read by line. Pure. */
export function secretForms(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= 16);
  const plain = [value, value.trim(), ...(lines.length > 1 ? lines : [])];
  const forms = plain.flatMap((one) => [
    one,
    JSON.stringify(one).slice(1, -1),
    encodeURIComponent(one),
    encodeURI(one),
    new URLSearchParams([['', one]]).toString().slice(1),
    ...base64Forms(one),
  ]);
  return [...new Set(forms)].filter((form) => form.length >= SHORTEST_SECRET);
}

/** Base64 of a value that stands behind 0, 1 or 2 bytes of something else: the characters that depend on the value alone. */
function base64Forms(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const known = encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    const urlSafe = known.replaceAll('+', '-').replaceAll('/', '_');
    return known.length < SHORTEST_BASE64 ? [] : [known, urlSafe];
  });
}

function maskInPlace(value: unknown, mask: (text: string) => string, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  // `message`, `stack` and `cause` of an error are not enumerable.
  const names = value instanceof Error ? [...Object.keys(value), 'message', 'stack', 'cause'] : Object.keys(value);
  const fields = value as Record<string, unknown>;
  for (const name of new Set(names)) {
    const field = fields[name];
    if (typeof field !== 'string') {
      maskInPlace(field, mask, seen);
      continue;
    }
    const masked = mask(field);
    if (masked !== field) Object.defineProperty(value, name, { value: masked, configurable: true, writable: true });
  }
}
