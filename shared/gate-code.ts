/**
 * The short code that binds a decision to what the person saw: run, gate, plan and evidence. Another plan, other evidence or another
 * opening of the gate gives another code, so a decision made on old facts cannot count.
 */
import { canonicalJson } from './canonical-json.js';
import { sha256Hex } from './sha256.js';

/** Crockford's base32: no I, L, O, U, so that a code can be read aloud and typed at 3 a.m. */
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODE_LENGTH = 6;

export type GateCodeFacts = {
  runId: string;
  gate: string;
  planHash: string;
  evidence: unknown;
  /** 1 for the first opening; a gate that is opened again (after it expired) must not take the code of before. */
  opening: number;
};

/** First 6 characters of the Crockford base32 of SHA-256 over the facts. */
export function gateCode(facts: GateCodeFacts): string {
  const { opening, ...bound } = facts;
  return crockford(sha256Hex(canonicalJson(opening === 1 ? bound : facts)), CODE_LENGTH);
}

/** The code as a person may have typed it (spaces, lower case, O for 0, I or L for 1), in the form in which it is compared. */
export function normaliseCode(text: string): string {
  return text
    .replace(/[\s-]+/g, '')
    .toUpperCase()
    .replace(/O/g, '0')
    .replace(/[IL]/g, '1');
}

function crockford(hex: string, length: number): string {
  // 12 hex digits are 48 bits; each character takes the next 5 of them, highest first.
  const bits = BigInt(`0x${hex.slice(0, 12)}`);
  const digit = (index: number): string => CROCKFORD.charAt(Number((bits >> BigInt(43 - index * 5)) & 31n));
  return Array.from({ length }, (_, index) => digit(index)).join('');
}
