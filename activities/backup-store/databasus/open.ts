/** From a file of the bucket to its plain bytes. */
import { decrypted, type Encrypted } from './decrypt.js';
import type { CatalogBase, CatalogHistory, CatalogWal } from './catalog.js';
import { parseHistoryMetadata, parseWalMetadata } from './metadata.js';
import { METADATA, type StoredFile } from './names.js';
import { storedBytes, type ReadObjects } from './stored-file.js';

/** Where the files are and what opens them. */
export type Bucket = {
  objects: ReadObjects;
  secretKey: string;
  /** Called with the bytes of every answer of the store. */
  hear?: (bytes: number) => void;
};

/** A file and how it is read; `stream` gives its plain bytes, still compressed. */
export type Sealed = { object: Encrypted; stream(): AsyncGenerator<Buffer> };

/** The tar of a base. */
export function sealedTar(bucket: Bucket, { tar, metadata }: CatalogBase): Sealed {
  const { backupId: id, encryption, compressedSizeBytes: bytes } = metadata;
  return sealed(bucket, tar, { id, encryption, bytes, damaged: 'BackupCorrupt' });
}

/** The manifest of a base. Its size is not in the metadata; it has a checksum of its own (see manifest.ts). */
export function sealedManifest(bucket: Bucket, { manifest, metadata }: CatalogBase): Sealed {
  const { backupId: id, encryption } = metadata;
  return sealed(bucket, manifest, { id, encryption, bytes: 0, damaged: 'BackupCorrupt' });
}

/** A WAL segment; its sidecar, which names the key, is read now. */
export async function sealedWal(bucket: Bucket, { file }: CatalogWal): Promise<Sealed> {
  const text = (await bucket.objects.get(file.name + METADATA)).toString('utf8');
  const { walSegmentId: id, encryption, compressedSizeBytes: bytes } = parseWalMetadata(text, file.name);
  return sealed(bucket, file, { id, encryption, bytes, damaged: 'WalCorrupt' });
}

/** A timeline history. */
export async function sealedHistory(bucket: Bucket, { file }: CatalogHistory): Promise<Sealed> {
  const text = (await bucket.objects.get(file.name + METADATA)).toString('utf8');
  const { walHistoryFileId: id, encryption, compressedSizeBytes: bytes } = parseHistoryMetadata(text, file.name);
  return sealed(bucket, file, { id, encryption, bytes, damaged: 'WalCorrupt' });
}

function sealed(
  { objects, secretKey, hear }: Bucket,
  file: StoredFile,
  facts: Pick<Encrypted, 'id' | 'encryption' | 'bytes' | 'damaged'>,
): Sealed {
  const object = { name: file.name, secretKey, ...facts };
  return { object, stream: () => decrypted(storedBytes(objects, file, facts.damaged, hear), object) };
}
