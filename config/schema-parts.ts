/** Values that several areas of the config have. */
import { z } from 'zod';

/** Of environments, nodes, hosts and stores. */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'use lower-case letters, digits and dashes, starting with a letter or digit');
export const absolutePath = z.string().regex(/^\//, 'use an absolute path');

/**
 * A secret reference. `op` takes only letters, digits, `-`, `_`, `.` and blanks in the parts of a reference; a title with others needs the id of
 * its item instead. `exec` may be written as a list, which needs no quoting: `{ exec: [vault, kv, get, -field=password, secret/db] }`.
 */
const referenceText = z
  .string()
  .regex(
    /^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+|op:\/\/.+|exec:.+)$/,
    'use env:NAME, file:/path, op://vault/item/field or exec:PROGRAM ARGUMENTS',
  )
  .refine((text) => !text.startsWith('op://') || OP_REFERENCE.test(text), {
    message:
      'op takes only letters, digits, blanks and - _ . in a reference of 3 or 4 parts; use the ids of vault and item (op item list) where a title has others',
  });
const OP_REFERENCE = /^op:\/\/[\w. -]+(\/[\w. -]+){2,3}(\?[a-z-]+=[a-z]+)?$/;

const execReference = z
  .strictObject({ exec: z.array(z.string().min(1)).min(1) })
  .transform(({ exec }) => `exec:${JSON.stringify(exec)}`);

export const secretRef = z.union([referenceText, execReference]);

/** `90s`, `15m`, `24h`, `7d` as whole seconds. */
export const duration = z
  .string()
  .regex(/^\d+(s|m|h|d)$/, 'use a number and a unit: 90s, 15m, 24h, 7d')
  .transform((text) => {
    const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[text.slice(-1) as 's' | 'm' | 'h' | 'd'];
    return Number(text.slice(0, -1)) * unit;
  });

export const s3LocationSchema = z.strictObject({
  endpoint: z.url().optional(),
  region: z.string().default('us-east-1'),
  bucket: z.string().min(1),
  prefix: z.string().default(''),
  forcePathStyle: z.boolean().default(true),
  accessKeyId: secretRef,
  secretAccessKey: secretRef,
});
