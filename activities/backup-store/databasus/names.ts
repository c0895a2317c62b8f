/**
 * Names of the objects that a Databasus controller writes (measured with v3.49.0; object layout from its S3 storage source). What is larger
 * than 16 MiB lies in `<name>.part000001…`, described by `<name>.parts`, which is written last. Pure.
 */
import type { ObjectFacts } from '../s3-objects.js';

/** One file of the controller, in one object or in several. */
export type StoredFile = {
  name: string;
  /** Stored bytes; of parts the sum of those that are listed. */
  bytes: number;
  lastModified: string;
  isInParts: boolean;
};

export type BaseName = { kind: 'full' | 'incremental'; database: string; id: string };
export type WalName = { databaseId: string; timeline: number; segment: string };
export type HistoryName = { databaseId: string; timeline: number };

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const BASE = new RegExp(`^(.+)-(FULL|INCR)-\\d{8}-\\d{6}-(${UUID})$`);
const WAL = new RegExp(`^(${UUID})-WAL-tl(\\d+)-([0-9A-F]{24})(?:\\.zst)?$`);
const HISTORY = new RegExp(`^(${UUID})-HIST-tl(\\d+)\\.history(?:\\.zst)?$`);
const PARTS = '.parts';
const PART = /^(.+)\.part\d{6}$/;

export const METADATA = '.metadata';
export const MANIFEST = '.manifest';

/**
 * Files of a listing, by name. Parts without their description belong to an upload that did not end: they are no file.
 */
export function filesOf(listing: readonly ObjectFacts[]): Map<string, StoredFile> {
  const files = new Map<string, StoredFile>();
  const partBytes = new Map<string, number>();
  for (const { key, bytes, lastModified } of listing) {
    const whole = PART.exec(key)?.[1];
    if (whole !== undefined) {
      partBytes.set(whole, (partBytes.get(whole) ?? 0) + bytes);
    } else if (key.endsWith(PARTS)) {
      const name = key.slice(0, -PARTS.length);
      files.set(name, { name, bytes: 0, lastModified, isInParts: true });
    } else if (files.get(key)?.isInParts !== true) {
      files.set(key, { name: key, bytes, lastModified, isInParts: false });
    }
  }
  for (const file of files.values()) if (file.isInParts) file.bytes = partBytes.get(file.name) ?? 0;
  return files;
}

/** Object that describes the parts of `name`. */
export function partsObject(name: string): string {
  return name + PARTS;
}

/** The tar of a base; null for any other name. */
export function parseBaseName(name: string): BaseName | null {
  const [, database = '', kind, id = ''] = BASE.exec(name) ?? [];
  return kind === undefined ? null : { kind: kind === 'FULL' ? 'full' : 'incremental', database, id };
}

/** A WAL segment; null for any other name. */
export function parseWalName(name: string): WalName | null {
  const [, databaseId = '', timeline, segment = ''] = WAL.exec(name) ?? [];
  return timeline === undefined ? null : { databaseId, timeline: Number(timeline), segment };
}

/** A timeline history; null for any other name. */
export function parseHistoryName(name: string): HistoryName | null {
  const [, databaseId = '', timeline] = HISTORY.exec(name) ?? [];
  return timeline === undefined ? null : { databaseId, timeline: Number(timeline) };
}
