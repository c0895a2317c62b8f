/** What kind of dump a file is, by its first bytes; names and endings are not asked. Pure. */
import type { DumpCompression, DumpFormat } from '../../../shared/contracts/dump.js';

export type FileKind =
  | { kind: 'archive'; format: Exclude<DumpFormat, 'plain' | 'directory'> }
  | { kind: 'compressed'; compression: Exclude<DumpCompression, 'none'> }
  | { kind: 'sql' }
  | { kind: 'other'; what: string };

/** Enough for the header of a tar member and for the first comment of a script. */
export const HEAD_BYTES = 8_192;

const TAR_MAGIC_AT = 257;

/** The kind of a file that starts with `head`. */
export function fileKindOf(head: Buffer): FileKind {
  const compression = compressionOf(head);
  if (compression !== null) return { kind: 'compressed', compression };
  if (head.subarray(0, 5).toString('latin1') === 'PGDMP') return { kind: 'archive', format: 'custom' };
  if (head.subarray(TAR_MAGIC_AT, TAR_MAGIC_AT + 5).toString('latin1') === 'ustar') return tarKind(head);
  return textKind(head);
}

function compressionOf(head: Buffer): Exclude<DumpCompression, 'none'> | null {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.length < 4) return null;
  const magic = head.readUInt32LE(0);
  if (magic === 0xfd2f_b528) return 'zstd';
  return magic === 0x184d_2204 ? 'lz4' : null;
}

/** pg_dump writes toc.dat first; any other tar (of a data directory, of a directory dump) is not its own. */
function tarKind(head: Buffer): FileKind {
  const name = head.subarray(0, 100).toString('latin1').replace(/\0.*$/s, '');
  if (name === 'toc.dat') return { kind: 'archive', format: 'tar' };
  const nested = /(^|\/)toc\.dat$/.test(name) || name.endsWith('/');
  return {
    kind: 'other',
    what: nested
      ? 'a tar of a directory, not one of pg_dump --format=tar: unpack it and name the directory'
      : `a tar that begins with ${JSON.stringify(name)}, not with toc.dat: it is not a dump`,
  };
}

function textKind(head: Buffer): FileKind {
  if (head.length === 0) return { kind: 'other', what: 'empty' };
  const text = head.toString('latin1').replace(/^\u00ef\u00bb\u00bf/, '');
  if (/^-- PostgreSQL database (cluster )?dump$/m.test(text)) return { kind: 'sql' };
  if (text.includes('\0')) return { kind: 'other', what: 'binary, and not of pg_dump' };
  return { kind: 'other', what: 'text, but not written by pg_dump or pg_dumpall' };
}
