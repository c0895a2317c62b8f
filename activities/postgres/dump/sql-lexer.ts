/**
 * Where a line of SQL stands: between tokens, or inside of a string, an identifier or a comment that an earlier line began. Without it the body of
 * a function could be taken for a statement of the dump. Pure.
 */
export type LexState =
  | { in: 'code' }
  | { in: 'string'; escapes: boolean }
  | { in: 'identifier' }
  | { in: 'dollar'; tag: string }
  | { in: 'comment'; depth: number };

export const CODE: LexState = { in: 'code' };

const OPENING = /\\|'|"|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|--|\/\*/g;

/** State after `text`, a line (or a piece of one) without its end of line. `onBackslash` is told of a backslash between tokens: there psql takes a command. */
export function lexLine(before: LexState, text: string, onBackslash: () => void = () => undefined): LexState {
  let state = before;
  for (let at = 0; at < text.length;) {
    const next = state.in === 'code' ? fromCode(text, at, onBackslash) : fromInside(state, text, at);
    state = next.state;
    at = next.at;
  }
  return state;
}

type Step = { state: LexState; at: number };

function fromCode(text: string, from: number, onBackslash: () => void): Step {
  OPENING.lastIndex = from;
  const found = OPENING.exec(text);
  if (found === null) return { state: CODE, at: text.length };
  const at = found.index + found[0].length;
  switch (found[0]) {
    case '\\':
      onBackslash();
      return { state: CODE, at };
    case "'":
      return { state: { in: 'string', escapes: /(^|[^\w$])[eE]$/.test(text.slice(0, found.index)) }, at };
    case '"':
      return { state: { in: 'identifier' }, at };
    case '--':
      return { state: CODE, at: text.length };
    case '/*':
      return { state: { in: 'comment', depth: 1 }, at };
    default:
      return { state: { in: 'dollar', tag: found[0] }, at };
  }
}

function fromInside(state: Exclude<LexState, { in: 'code' }>, text: string, from: number): Step {
  switch (state.in) {
    case 'string':
      return fromString(state, text, from);
    case 'identifier':
      return untilText(state, text, from, '"');
    case 'dollar':
      return untilText(state, text, from, state.tag);
    case 'comment':
    default:
      return fromComment(state.depth, text, from);
  }
}

/** A doubled quote ends the string and begins it again at once: the state comes out the same. */
function fromString(state: Extract<LexState, { in: 'string' }>, text: string, from: number): Step {
  if (!state.escapes) return untilText(state, text, from, "'");
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === "'") {
      if (text[at + 1] !== "'") return { state: CODE, at: at + 1 };
      at += 1;
    }
  }
  return { state, at: text.length };
}

function untilText(state: LexState, text: string, from: number, end: string): Step {
  const found = text.indexOf(end, from);
  return found < 0 ? { state, at: text.length } : { state: CODE, at: found + end.length };
}

/** Comments nest (PostgreSQL docs, "Comments"). */
function fromComment(depth: number, text: string, from: number): Step {
  const close = text.indexOf('*/', from);
  const open = text.indexOf('/*', from);
  if (close < 0 && open < 0) return { state: { in: 'comment', depth }, at: text.length };
  if (open >= 0 && (close < 0 || open < close)) return { state: { in: 'comment', depth: depth + 1 }, at: open + 2 };
  return { state: depth === 1 ? CODE : { in: 'comment', depth: depth - 1 }, at: close + 2 };
}
