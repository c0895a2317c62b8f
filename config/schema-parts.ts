/** Values that several areas of the config have. */
import { z } from 'zod';

/** Of environments, nodes, hosts and stores. */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'use lower-case letters, digits and dashes, starting with a letter or digit');
export const absolutePath = z.string().regex(/^\//, 'use an absolute path');
/** A reference to a secret, never its value. */
export const secretRef = z
  .string()
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+|op:\/\/.+)$/, 'use env:NAME, file:/path or op://vault/item/field');
