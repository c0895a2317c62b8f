/** The published form of the config schema, for editors (`# yaml-language-server: $schema=…`). */
import { z } from 'zod';

import { configSchema } from './schema.js';

/** JSON schema (draft 2020-12) of what a person writes; `config/recovery.schema.json` is this, pretty-printed. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as Record<string, unknown>;
  return { ...schema, title: 'recovery.yaml of pgr' };
}
