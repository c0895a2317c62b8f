/** Looks at SQL of the team before it runs: it runs in a transaction of ours. Pure. */
import { CODE, lexLine, type LexState } from '../dump/sql-lexer.js';

const WORD = /^\s*(begin|commit|rollback|abort|end|start\s+transaction|prepare\s+transaction|savepoint|release)\b/i;

/** Behind another statement on the same line. */
const LATER = /;\s*(begin|commit|rollback|abort|end)\s*(?:;|$)/i;

/** The first statement that begins or ends a transaction, or a command to psql; null when there is none. */
export function transactionWord(sql: string): string | null {
  let state: LexState = CODE;
  let begins = true;
  for (const line of sql.split('\n')) {
    const from: LexState = state;
    const backslashes: number[] = [];
    state = lexLine(from, line, () => {
      backslashes.push(1);
    });
    if (backslashes.length > 0) return 'command to psql (\\…)';
    if (from.in !== 'code') continue;
    const text = line.replace(/'[^']*'/g, "''").replace(/--.*$/, '');
    if (text.trim() === '') continue;
    const first = begins ? WORD.exec(text)?.[1] : undefined;
    const word = first ?? LATER.exec(text)?.[1];
    if (word !== undefined) return word.toUpperCase();
    begins = /;\s*$/.test(text);
  }
  return null;
}
