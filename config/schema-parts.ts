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
