/** The manifest of a base, which Databasus writes itself (PostgreSQL docs, "Backup Manifest Format"). Pure. */
import { createHash } from 'node:crypto';
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';

const manifestSchema = z.object({
  Files: z.array(
    z.object({
      Path: z.string().min(1).optional(),
      'Encoded-Path': z
        .string()
        .regex(/^([0-9a-f]{2})+$/i)
        .optional(),
      Size: z.int().nonnegative(),
      'Checksum-Algorithm': z.string().optional(),
      Checksum: z.string().optional(),
    }),
  ),
});

export type ManifestFile = {
  path: string;
  bytes: number;
  /** Null when the file has none that can be computed here (CRC32C: its size is compared then). */
  checksum: { algorithm: string; hex: string } | null;
};

const ALGORITHMS = new Set(['sha224', 'sha256', 'sha384', 'sha512']);
const OWN_CHECKSUM = '"Manifest-Checksum"';

/** Parses a manifest and checks it against its own checksum. BackupCorrupt when it is cut or changed. */
export function parseManifest(content: Buffer, name: string): ManifestFile[] {
  const text = content.toString('utf8');
  const end = text.lastIndexOf(OWN_CHECKSUM);
  const told = /^"Manifest-Checksum":\s*"([0-9a-f]{64})"/.exec(text.slice(end))?.[1];
  const computed = createHash('sha256')
    .update(content.subarray(0, content.lastIndexOf(OWN_CHECKSUM)))
    .digest('hex');
  if (end < 0 || told !== computed)
    throw stepFailure('BackupCorrupt', `manifest ${name} differs from its own checksum`);
  const parsed = manifestSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw stepFailure('BackupCorrupt', `manifest ${name} is not understood`);
  return parsed.data.Files.map((file) => ({
    path: file.Path ?? Buffer.from(file['Encoded-Path'] ?? '', 'hex').toString('latin1'),
    bytes: file.Size,
    checksum: checksumOf(file['Checksum-Algorithm'], file.Checksum),
  }));
}

function checksumOf(algorithm: string | undefined, hex: string | undefined): ManifestFile['checksum'] {
  const name = algorithm?.toLowerCase() ?? '';
  return hex !== undefined && ALGORITHMS.has(name) ? { algorithm: name, hex: hex.toLowerCase() } : null;
}

/** Bytes of all files once restored. */
export function restoredBytes(files: readonly ManifestFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}
