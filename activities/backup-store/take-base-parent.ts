/** The base on which an incremental one builds. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { stepFailure } from '../lib/failure.js';
import { baseKeys, listBases, type BaseHeader } from './base-catalog.js';
import type { ObjectStore } from './s3-objects.js';
import { readManifest } from './take-base-manifest.js';
import type { ServerFacts } from './take-base-facts.js';

export type Parent = { header: BaseHeader; manifest: Buffer };

const inflate = promisify(gunzip);

/**
 * The newest base of the store, when it belongs to this system and timeline; otherwise PreconditionFailed: an incremental base over another
 * history would be refused by the server late, or be worthless.
 */
function chooseParent(headers: readonly BaseHeader[], facts: ServerFacts): BaseHeader {
  const newest = headers.at(-1);
  const full = { hint: 'take a full base first' };
  if (newest === undefined) throw stepFailure('PreconditionFailed', 'the store has no base to build on', full);
  if (newest.systemIdentifier !== facts.systemIdentifier) {
    throw stepFailure(
      'PreconditionFailed',
      `newest base ${newest.id} is of system ${newest.systemIdentifier}, the server is ${facts.systemIdentifier}`,
      full,
    );
  }
  if (newest.timeline !== facts.timeline) {
    throw stepFailure(
      'PreconditionFailed',
      `newest base ${newest.id} is of timeline ${String(newest.timeline)}, the server is on ${String(facts.timeline)}`,
      full,
    );
  }
  return newest;
}

/** Chooses the parent and fetches its manifest, verified. */
export async function readParent(objects: ObjectStore, facts: ServerFacts): Promise<Parent> {
  const header = chooseParent(await listBases(objects), facts);
  const stored = await objects.get(baseKeys(header.id).manifest);
  if (createHash('sha256').update(stored).digest('hex') !== header.sha256s.manifest) {
    throw stepFailure('BackupCorrupt', `manifest of base ${header.id} differs from the checksum in its header`, {
      hint: 'take a full base first',
    });
  }
  const manifest = await inflate(stored);
  readManifest(manifest, `base ${header.id}`);
  return { header, manifest };
}
