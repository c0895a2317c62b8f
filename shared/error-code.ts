/** `ENOENT` and the like of a failed system call, null for anything else. Read by shape: an error may come from another realm. */
export function errorCodeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
