/** Damage to files of a store on disk, and how it is put back. */
import { chown, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Takes a file away, or changes it; returns how to mend it. */
export async function harmFile(
  file: string,
  change: ((content: Buffer) => Buffer) | null,
): Promise<() => Promise<void>> {
  const kept = `${file}.kept-aside`;
  await rename(file, kept);
  if (change !== null) {
    const { uid, gid, mode } = await stat(kept);
    await writeFile(file, change(await readFile(kept)), { mode });
    await chown(file, uid, gid);
  }
  return () => rename(kept, file);
}

/** The largest file below a directory. */
export async function largestFile(dir: string): Promise<string> {
  const names = await readdir(dir, { recursive: true });
  const files = await Promise.all(
    names.map(async (name) => {
      const file = path.join(dir, name);
      const facts = await stat(file);
      return { file, bytes: facts.isFile() ? facts.size : -1 };
    }),
  );
  const [largest] = files.sort((a, b) => b.bytes - a.bytes);
  if (largest === undefined) throw new Error(`${dir} is empty`);
  return largest.file;
}

/** Other bytes in the middle, the same size. */
export function spoilMiddle(content: Buffer): Buffer {
  return Buffer.from(content).fill(0x55, content.length >> 1, (content.length >> 1) + 64);
}
