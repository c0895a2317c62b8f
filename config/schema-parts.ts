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
