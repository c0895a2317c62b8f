/** `op read` (1Password CLI reference): the value alone on standard output, without a line end of its own. */
export function opReadArgs(reference: string): string[] {
  return ['read', '--no-newline', reference];
}

/**
 * Program and arguments of an `exec:` reference: a JSON list, which is what a list in the config becomes, or words between blanks. Null when
 * it is neither; there is no shell, so quotes are no quotes and are refused.
 */
export function execCommand(reference: string): [string, ...string[]] | null {
  const text = reference.slice('exec:'.length).trim();
  const words = text.startsWith('[') ? parseList(text) : /["'`\\$]/.test(text) ? null : text.split(/\s+/);
  const [program, ...args] = words ?? [];
  return program === undefined || program === '' ? null : [program, ...args];
}

function parseList(text: string): string[] | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((one) => typeof one === 'string') ? parsed : null;
  } catch {
    return null;
  }
}
