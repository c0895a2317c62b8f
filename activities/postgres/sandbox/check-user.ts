/** The checks that the config of an environment names: SQL and what it must give. */
import type pg from 'pg';

import type { CheckConfig } from '../../../config/schema.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { sqlStateOf } from '../../lib/database.js';
import { checkOf } from './evidence.js';

/** Runs one check; only the first column of the first row counts, read as text as the server prints it. */
export async function userCheck(client: pg.Client, check: CheckConfig): Promise<EvidenceCheck> {
  return checkOf(`check: ${check.name}`, String(check.expect), async () => {
    try {
      const { rows } = await client.query<(string | null)[]>({
        text: check.sql,
        rowMode: 'array',
        types: { getTypeParser: () => (value: string) => value },
      });
      const value = rows[0]?.[0] ?? null;
      return { actual: rows.length === 0 ? 'no rows' : String(value), ok: meets(check.expect, rows.length, value) };
    } catch (error) {
      if (sqlStateOf(error) !== '57014') throw error;
      return {
        actual: 'unknown: it did not end within verify.statementTimeout (a locked table waits for ever)',
        ok: false,
      };
    }
  });
}

const COMPARISON = /^(>=|<=|>|<|!=|=)\s*(.+)$/;

/** Whether a result is what `expect` says: `no rows`, a comparison such as `>= 100`, or a value. */
export function meets(expect: CheckConfig['expect'], rowCount: number, value: string | null): boolean {
  if (expect === 'no rows') return rowCount === 0;
  if (rowCount === 0 || value === null) return false;
  if (typeof expect === 'boolean') return value === (expect ? 't' : 'f') || value === String(expect);
  if (typeof expect === 'number') return sameNumber(value, expect);
  const match = COMPARISON.exec(expect.trim());
  if (match?.[1] === undefined || match[2] === undefined) return value === expect;
  return compares(match[1], value, match[2].trim());
}

function sameNumber(value: string, expected: number): boolean {
  return value.trim() !== '' && Number(value) === expected;
}

/** Numbers as numbers; anything else as text, which is right for ISO dates. */
function compares(operator: string, value: string, wanted: string): boolean {
  const order = orderOf(value, wanted);
  switch (operator) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    case '!=':
      return order !== 0;
    default:
      return order === 0;
  }
}

function orderOf(value: string, wanted: string): number {
  const [a, b] = [Number(value), Number(wanted)];
  if (value.trim() !== '' && !Number.isNaN(a) && !Number.isNaN(b)) return a - b;
  if (value === wanted) return 0;
  return value < wanted ? -1 : 1;
}
