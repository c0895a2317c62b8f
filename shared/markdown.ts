/**
 * Markdown for the Temporal Web UI (User Metadata), which passes raw HTML through: every text that is not ours is escaped here
 * and nowhere else.
 */

/** Longest text of one field; a stack trace in a message must not push the approve instructions out of sight. */
const MAX_TEXT = 600;

/**
 * Untrusted text as one line of plain Markdown: no HTML, no links, no formatting. Escapes are numeric references and backslashes,
 * because the UI's renderer shows named references as they stand; it makes fractions of `1/2000028` (an LSN) and dashes of `--host`
 * unless they are broken up. What needs no escape has none: the same text is read raw in `temporal workflow describe`.
 */
export function escapeMarkdown(text: string): string {
  return shorten(oneLine(text), MAX_TEXT)
    .replace(/[&<>`]/g, (mark) => `&#${String(mark.charCodeAt(0))};`)
    .replace(/[\\*_{}[\]|~$^]/g, (mark) => `\\${mark}`)
    .replace(/-(?=-)|(?<=-)-/g, '\\-')
    .replace(/(?<=[a-z]):(?=\S)/gi, '\\:')
    .replace(/(?<=\d)\/(?=\d)/g, '&#47;')
    .replace(/^[-+#:=]/, (mark) => (mark === '=' ? '&#61;' : `\\${mark}`))
    .replace(/^(\d+)([.)])/, '$1\\$2');
}

/** Untrusted prose such as a hint: like {@link escapeMarkdown}, but what stands between backticks (a command to copy) is code. */
export function proseWithCode(text: string): string {
  return shorten(oneLine(text), MAX_TEXT)
    .split(/`([^`]+)`/)
    .map((part, index) => (index % 2 === 1 ? codeSpan(part) : escapePart(part)))
    .join('');
}

/** Keeps the blanks around code. */
function escapePart(part: string): string {
  const inner = part.trim();
  return inner === '' ? part : part.replace(inner, () => escapeMarkdown(inner));
}

/** Text in a code span. A fence longer than any run of backticks inside keeps it closed; HTML is inert there. */
export function codeSpan(text: string): string {
  const plain = shorten(oneLine(text), MAX_TEXT);
  const longest = Math.max(0, ...[...plain.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  const pad = plain.startsWith('`') || plain.endsWith('`') || plain === '' ? ' ' : '';
  return `${fence}${pad}${plain}${pad}${fence}`;
}

/** A block to copy from. */
export function codeBlock(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** Control characters, bidirectional overrides and line breaks become spaces: none may change how the rest is read. */
export function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/gu, ' ')
    .replace(/ {2,}/g, ' ')
    .trim();
}

/** At most `length` characters, the cut shown. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
