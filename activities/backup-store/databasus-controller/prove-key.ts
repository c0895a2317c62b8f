/** Key custody before anything else: a key that does not open the bucket would make a controller beside backups that nobody can read. */
import type { DatabasusBucketConfig } from '../../../config/schema.js';
import type { ProvenKey } from '../../../shared/contracts/controller.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { isControllerKey, readSecretKey } from '../databasus/secret-key.js';
import { createBucketStore } from '../databasus/store.js';
import { fingerprintOf } from './key-file.js';
import { controllerSettingsOf } from './settings.js';

type KeyDeps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'program'>;

/** What a check says of a bucket that is opened with this key. */
export type CheckBucket = (
  deps: KeyDeps,
  bucket: DatabasusBucketConfig,
  environment: string,
  key: string,
) => Promise<EvidenceCheck[]>;

/** Activity `proveControllerKey`. Throws CredentialsRefused for a key that opens nothing, NotFound for a bucket without a base. */
export function createProveControllerKey(deps: KeyDeps, check: CheckBucket = checkBucketWith) {
  return async function proveControllerKey({ environment }: { environment: string }): Promise<ProvenKey> {
    const { controller, bucket } = controllerSettingsOf(deps.config, environment);
    const { bucket: store } = controller;
    const key = await readEscrowedKey(deps, environment);
    const lines = await check(deps, bucket, environment, key);
    const read = lines.find((line) => line.check === 'bucket-read');
    const custody = lines.find((line) => line.check === 'key-custody');
    if (custody === undefined) {
      throw stepFailure(
        'StoreUnavailable',
        `the bucket of store ${store} cannot be read: ${read?.actual ?? 'no answer'}`,
      );
    }
    if (custody.actual === 'there is no base') {
      throw stepFailure('NotFound', `store ${store} finds no base in its bucket, so no key can be proven`, {
        hint: 'check bucket and prefix of that store with `pgr window --store`; a controller for an empty bucket needs no recovery',
      });
    }
    if (!custody.ok) {
      throw stepFailure('CredentialsRefused', `the escrowed key is not proven: ${custody.actual}`, {
        hint: `nothing was made; put the secret.key of the lost controller into secretKey of store ${store}, then start again`,
      });
    }
    const isProven = !/not encrypted/.test(custody.actual);
    if (!isProven) requireShape(key);
    return { fingerprint: fingerprintOf(key), store, checks: lines, isProven };
  };
}

/** A store of its own: the one of the worker may hold a key that was read long ago, and proven is what is placed. */
async function checkBucketWith(
  { resolveSecret, program }: KeyDeps,
  config: DatabasusBucketConfig,
  environment: string,
  key: string,
): Promise<EvidenceCheck[]> {
  const store = await createBucketStore({
    config,
    environment,
    program,
    resolveSecret: (reference) => (reference === config.secretKey ? Promise.resolve(key) : resolveSecret(reference)),
  });
  return store.check();
}

/** The key in escrow, as it has to lie in the file. */
export async function readEscrowedKey(
  { config, resolveSecret }: Pick<KeyDeps, 'config' | 'resolveSecret'>,
  environment: string,
): Promise<string> {
  const { bucket } = controllerSettingsOf(config, environment);
  return readSecretKey(await resolveSecret(bucket.secretKey)).text;
}

/** Of a key that nothing proves at least the shape has to be right. */
function requireShape(key: string): void {
  if (isControllerKey(key)) return;
  throw stepFailure('CredentialsRefused', 'the escrowed key is not two uuids, as a controller makes it', {
    hint: 'the newest base is not encrypted, so nothing else can show that the key is right',
  });
}
