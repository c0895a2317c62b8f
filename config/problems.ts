/** Words for what zod found. The value itself is never shown: somebody may have written a password where a reference belongs. */
import { z } from 'zod';

import type { Problem } from '../shared/pgr-failure.js';
import { configSchema } from './schema.js';

type Issue = z.core.$ZodIssue;

/** One problem per wrong value and one per unknown key, in the order of the file's shape. */
export function describeIssues(issues: readonly Issue[], raw: unknown): Problem[] {
  return issues.flatMap((issue) => describeIssue(issue, raw));
}

/** `environments.lab.nodes[1].port`; `(top)` for the whole document. */
function formatPath(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${String(part)}]` : `.${String(part)}`)).join('');
  return text === '' ? '(top)' : text.replace(/^\./, '');
}

function describeIssue(issue: Issue, raw: unknown): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: formatPath([...issue.path, key]),
      problem: `unknown key${didYouMean(key)}`,
    }));
  }
  const path = formatPath(issue.path);
  const missing = valueAt(raw, issue.path) === undefined;
  return [{ path, problem: missing ? `is missing; ${expected(issue)}` : expected(issue) }];
}

function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${issue.expected === 'int' ? 'a whole number' : issue.expected}`;
    case 'invalid_value':
      return `expected ${issue.values.map((value) => String(value)).join(' or ')}`;
    case 'invalid_union': {
      if ('options' in issue && Array.isArray(issue.options))
        return `expected ${issue.options.map(String).join(' or ')}`;
      // The type fits one form, its content does not: that form says what to write.
      const near = issue.errors.flatMap(([first]) =>
        first?.code === 'invalid_format' || first?.code === 'custom' ? [first.message] : [],
      );
      if (near[0] !== undefined) return near[0];
      return `expected ${issue.errors.map((branch) => branchType(branch)).join(' or ')}`;
    }
    case 'invalid_key':
      return `bad name: ${issue.issues.map((inner) => inner.message).join(', ')}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'expected a url' : issue.message;
    default:
      return issue.message.replace(/^./, (first) => first.toLowerCase());
  }
}

function branchType(branch: readonly Issue[]): string {
  const [first] = branch;
  return first?.code === 'invalid_type' ? first.expected : 'another value';
}

function valueAt(raw: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = raw;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

function didYouMean(key: string): string {
  const [best] = knownKeys()
    .map((known) => ({ known, distance: editDistance(key.toLowerCase(), known.toLowerCase()) }))
    .filter(({ known, distance }) => distance <= Math.max(2, Math.floor(known.length / 3)))
    .sort((a, b) => a.distance - b.distance);
  return best === undefined ? '' : `; did you mean "${best.known}"?`;
}

/** Every property name that the schema knows anywhere. */
function knownKeys(): string[] {
  const keys = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node && typeof node.properties === 'object' && node.properties !== null) {
      for (const key of Object.keys(node.properties)) keys.add(key);
    }
    Object.values(node).forEach(walk);
  };
  walk(z.toJSONSchema(configSchema, { io: 'input' }));
  return [...keys];
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
