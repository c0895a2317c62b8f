/** `op read` (1Password CLI reference): the value alone on standard output, without a line end of its own. */
export function opReadArgs(reference: string): string[] {
  return ['read', '--no-newline', reference];
}
