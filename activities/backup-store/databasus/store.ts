/** The backup store of kind `databasus-bucket`: the bucket of a Databasus controller, read without the controller. */
import type { StoreConfig } from '../../../config/schema.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { BackupStore, ResolvedTarget } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import { lastCommit } from '../last-commit.js';
import { resolveTarget } from '../resolve-target.js';
import { readCredentials } from '../s3-access.js';
import { createObjectStore } from '../s3-objects.js';
import { jobCommand } from '../s3-store.js';
import { computeWindow } from '../window.js';
import { createArchiveView, readOnly, WAL_PREFIX, type ArchiveView } from './archive-objects.js';
import { checkBucket } from './check.js';
import { inflated } from './inflate.js';
import { parseManifest, restoredBytes } from './manifest.js';
import { sealedManifest, type Bucket } from './open.js';
import type { Pin } from './catalog.js';
import { readSecretKey, type SecretKey } from './secret-key.js';
import { collect, type ReadObjects } from './stored-file.js';

export type BucketConfig = Extract<StoreConfig, { kind: 'databasus-bucket' }>;

export type BucketStoreInput = {
  config: BucketConfig;
  environment: string;
  resolveSecret: (reference: string) => Promise<string>;
  program: ProgramPaths;
};

/** The store of an environment. Throws CredentialsRefused when a secret cannot be read; the bucket itself is not asked yet. */
export async function createBucketStore(input: BucketStoreInput): Promise<BackupStore> {
  const { config, environment, program } = input;
  const objects = createObjectStore(locationOf(config), await readCredentials(config, input.resolveSecret));
  const key = readSecretKey(await input.resolveSecret(config.secretKey));
  return createReadOnlyStore({
    objects,
    key,
    pin: pinOf(config),
    limits: { baseSeconds: config.maxBaseAge, walSeconds: config.maxWalAge },
    fetchCommand: jobCommand(program, environment, 'fetch-databasus'),
    now: () => new Date(),
  });
}

type ReadOnlyStoreInput = {
  objects: ReadObjects;
  key: SecretKey;
  pin: Pin;
  limits: { baseSeconds: number; walSeconds: number };
  fetchCommand: (specPath: string) => string[];
  now: () => Date;
};

/** The store over any objects. */
export function createReadOnlyStore(input: ReadOnlyStoreInput): BackupStore {
  const { objects, key, pin } = input;
  const bucket: Bucket = { objects, secretKey: key.text };
  const look = (): { view: ArchiveView; context: { objects: ArchiveView['objects']; walPrefix: string } } => {
    const view = createArchiveView(bucket, pin);
    return { view, context: { objects: view.objects, walPrefix: WAL_PREFIX } };
  };
  return {
    kind: 'databasus-bucket',
    baseProof: 'the authentication of every encrypted chunk, and SHA-256 of every file by the manifest of the base',
    takesBases: false,
    async window(request) {
      const { view, context } = look();
      const window = await computeWindow(context, request);
      return { ...window, warnings: [...window.warnings, ...(await view.catalog()).warnings] };
    },
    async resolveTarget(request) {
      const { view, context } = look();
      const resolved = await resolveTarget(context, request);
      const sized = await sizeChain(bucket, view, resolved);
      return { ...sized, warnings: [...resolved.warnings, ...(await view.catalog()).warnings] };
    },
    lastCommit: (request) => lastCommit(look().context, request),
    async walPresence(name) {
      const files = await look().view.objects.list(`${WAL_PREFIX}${name}`);
      return files.some((file) => file.key === `${WAL_PREFIX}${name}.zst`) ? 'found' : 'missing';
    },
    fetchCommand: input.fetchCommand,
    takeBaseCommand: () => {
      throw readOnly();
    },
    pause: () => Promise.reject(readOnly()),
    // Nothing was paused here, so giving up a pause is done already.
    resume: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'a store of kind databasus-bucket is only read' }),
    abandonTimeline: () => Promise.reject(readOnly()),
    check: () =>
      checkBucket({
        bucket,
        catalog: () => look().view.catalog(),
        limits: input.limits,
        keyNote: key.note,
        now: input.now,
      }),
  };
}

/** Where the bucket is. Databasus adds the slash behind its prefix itself, so people write it without. */
export function locationOf(config: BucketConfig): BucketConfig {
  const prefix = config.prefix.replace(/^\/+/, '').replace(/\/*$/, '/');
  return { ...config, prefix: prefix === '/' ? '' : prefix };
}

/** Which database of the bucket the config means. */
export function pinOf({ systemIdentifier, databaseId }: BucketConfig): Pin {
  return { systemIdentifier: systemIdentifier ?? null, databaseId: databaseId ?? null };
}

/** The manifests of the chain say how many bytes it has once restored; the sidecars do not. */
async function sizeChain(bucket: Bucket, view: ArchiveView, resolved: ResolvedTarget): Promise<ResolvedTarget> {
  const { bases } = await view.catalog();
  const baseChain = await Promise.all(
    resolved.baseChain.map(async (ref): Promise<RecoveryPlan['baseChain'][number]> => {
      const base = bases.find(({ metadata }) => metadata.backupId === ref.id);
      if (base === undefined) return ref;
      const sealed = sealedManifest(bucket, base);
      const files = parseManifest(await collect(inflated(sealed.stream(), sealed.object)), base.manifest.name);
      return { ...ref, rawBytes: restoredBytes(files) };
    }),
  );
  return { ...resolved, baseChain };
}
