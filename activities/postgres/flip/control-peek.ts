/**
 * pg_control read by ourselves: microseconds instead of the 15 ms of a program, while clients wait. It is believed where it proves itself: a layout that
 * we know and a checksum that is right. Everything else is left to pg_controldata.
 */
import { open } from 'node:fs/promises';
import { endianness } from 'node:os';
import path from 'node:path';

import { formatLsn, type Lsn } from '../../../shared/lsn.js';
import { addToCrc, CRC_START, crcOf } from './crc32c.js';

/**
 * The begin of ControlFileData (src/include/catalog/pg_control.h), the same since PostgreSQL 8: system_identifier (8 bytes), pg_control_version and
 * catalog_version_no (4 each), state (DBState, 4), a time (8, aligned), location of the latest checkpoint record (8). Its last member is the checksum of all
 * before it; where that is depends on the version, so it is looked for.
 */
const VERSION_AT = 8;
const STATE_AT = 16;
const CHECKPOINT_AT = 32;
const HEAD_BYTES = 40;
/** PG_CONTROL_MAX_SAFE_SIZE: the struct is never larger, so that it is written as one sector. */
const LONGEST = 512;
const SHUT_DOWN = 1;
/** The server writes the file as its machine has numbers in memory. */
const LITTLE = endianness() === 'LE';
/** PG_CONTROL_VERSION of PostgreSQL 13 to 16, 17 and 18. */
const KNOWN_VERSIONS: readonly number[] = [1300, 1700, 1800];

/** A cluster whose control file says `shut down`. `whole`: the layout is known and the checksum right, so this is what pg_controldata would say. */
export type ShutDown = { systemIdentifier: string; checkpointLsn: Lsn; whole: boolean };

/** What pg_control says, null when it does not say `shut down` or cannot be read. */
export async function peekShutDown(dataDir: string): Promise<ShutDown | null> {
  const control = await readControl(dataDir);
  if (control === null || control.getUint32(STATE_AT, LITTLE) !== SHUT_DOWN) return null;
  return {
    systemIdentifier: control.getBigUint64(0, LITTLE).toString(),
    checkpointLsn: formatLsn(control.getBigUint64(CHECKPOINT_AT, LITTLE)),
    whole: KNOWN_VERSIONS.includes(control.getUint32(VERSION_AT, LITTLE)) && hasChecksum(control),
  };
}

/** True when the control file says `shut down`: a hint, for polling. */
export async function looksShutDown(dataDir: string): Promise<boolean> {
  return (await peekShutDown(dataDir)) !== null;
}

/** Some four bytes are the checksum of all before them: by chance once in 40 million control files. */
function hasChecksum(control: DataView): boolean {
  let crc = CRC_START;
  for (let at = 0; at + 4 <= control.byteLength; at += 4) {
    if (at >= HEAD_BYTES && control.getUint32(at, LITTLE) === crcOf(crc)) return true;
    for (let byte = at; byte < at + 4; byte++) crc = addToCrc(crc, control.getUint8(byte));
  }
  return false;
}

async function readControl(dataDir: string): Promise<DataView | null> {
  const buffer = new Uint8Array(LONGEST);
  try {
    const file = await open(path.join(dataDir, 'global', 'pg_control'), 'r');
    try {
      const { bytesRead } = await file.read(buffer, 0, LONGEST, 0);
      return bytesRead < HEAD_BYTES ? null : new DataView(buffer.buffer, 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
}
