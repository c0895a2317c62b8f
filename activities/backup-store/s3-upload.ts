/** Multipart upload of a stream whose size is not known, with bounded memory. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';

import { kindOfS3Error } from './s3-errors.js';
import { withRetries, type Patience } from './s3-retry.js';

export type UploadTarget = { Bucket: string; Key: string };

const MIB = 1024 * 1024;

/** Parts under way at once: enough to hide the round trip, few enough to keep memory flat. */
const PARTS_IN_FLIGHT = 3;

/**
 * Bytes of part `number` (from 1). S3 allows 10 000 parts of at least 5 MiB, so the parts double every 1 500: 8 MiB while the
 * object is small, about 1.3 TB in all.
 */
export function partBytesFor(number: number): number {
  return 8 * MIB * 2 ** Math.min(6, Math.floor((number - 1) / 1_500));
}

/** Gathers buffers into parts of the size that their number asks for; the last one may be smaller. */
export async function* gatherParts(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  let number = 1;
  for await (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < partBytesFor(number)) continue;
    yield Buffer.concat(waiting, bytes);
    waiting = [];
    bytes = 0;
    number += 1;
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}

/** Uploads `pieces` as one object. A failure (also one thrown by `pieces`) aborts the upload: no part of it stays in the bucket. */
export async function uploadParts(
  client: S3Client,
  target: UploadTarget,
  pieces: AsyncIterable<Buffer>,
  patience: Patience,
): Promise<{ bytes: number }> {
  const parts = gatherParts(pieces);
  const first = await parts.next();
  const firstPart = first.done === true ? Buffer.alloc(0) : first.value;
  const second = first.done === true ? first : await parts.next();
  if (second.done === true) {
    await withRetries(patience, () => client.send(new PutObjectCommand({ ...target, Body: firstPart })));
    return { bytes: firstPart.length };
  }
  await abortLeftovers(client, target);
  const { UploadId } = await withRetries(patience, () => client.send(new CreateMultipartUploadCommand(target)));
  if (UploadId === undefined) throw new Error('the server started no multipart upload');
  const upload = { ...target, UploadId };
  try {
    const sent = await sendParts(client, upload, prepend([firstPart, second.value], parts), patience);
    await completeUpload(client, upload, sent, patience);
    return { bytes: sent.bytes };
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw error;
  }
}

/**
 * Parts that an attempt which was killed left behind are in no listing and are paid for. One job writes a key at a time, so whatever is
 * under way for it is dead. Without the permission to look they stay: that must not stop a backup.
 */
async function abortLeftovers(client: S3Client, { Bucket, Key }: UploadTarget): Promise<void> {
  const found = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key })).catch(() => null);
  const dead = (found?.Uploads ?? []).filter((upload) => upload.Key === Key);
  for (const { UploadId } of dead) {
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch(() => undefined);
  }
}

/** A reply that was lost makes the second try answer "no such upload": then the object itself tells whether it was completed. */
async function completeUpload(
  client: S3Client,
  upload: UploadTarget & { UploadId: string },
  sent: { parts: CompletedPart[]; bytes: number },
  patience: Patience,
): Promise<void> {
  const MultipartUpload = { Parts: sent.parts };
  try {
    await withRetries(patience, () => client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload })));
  } catch (error) {
    const { Bucket, Key } = upload;
    const facts = await client.send(new HeadObjectCommand({ Bucket, Key })).catch(() => null);
    if (kindOfS3Error(error) !== 'missing-key' || facts?.ContentLength !== sent.bytes) throw error;
  }
}

async function* prepend(first: Buffer[], rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield* first;
  yield* rest;
}

async function sendParts(
  client: S3Client,
  upload: UploadTarget & { UploadId: string },
  parts: AsyncGenerator<Buffer>,
  patience: Patience,
): Promise<{ parts: CompletedPart[]; bytes: number }> {
  const done: CompletedPart[] = [];
  const underWay = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let bytes = 0;
  let number = 0;
  const send = async (PartNumber: number, Body: Buffer): Promise<void> => {
    const answer = await withRetries(patience, () =>
      client.send(new UploadPartCommand({ ...upload, PartNumber, Body })),
    );
    if (answer.ETag === undefined) throw new Error(`part ${String(PartNumber)} was stored without an entity tag`);
    done.push({ PartNumber, ETag: answer.ETag });
  };
  try {
    for await (const part of parts) {
      number += 1;
      bytes += part.length;
      const sending = send(number, part)
        .catch((error: unknown) => failures.push(error))
        .then(() => void underWay.delete(sending));
      underWay.add(sending);
      if (underWay.size >= PARTS_IN_FLIGHT) await Promise.race(underWay);
      if (failures.length > 0) break;
    }
  } finally {
    await Promise.all(underWay);
  }
  if (failures.length > 0) throw failures[0];
  return { parts: done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)), bytes };
}
