/** Which boot of the machine this is: what was written without fsync in another boot cannot be trusted. */
import { readFile } from 'node:fs/promises';

/** Changes with every boot of the host; `unknown`, always, where there is no /proc. */
export async function readBootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown');
  return text.trim();
}
