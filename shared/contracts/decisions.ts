/** One decision at a gate as it arrives, through update `decide`, or signals `approve` / `reject` (then `decision` is set by the handler). */
export type Decision = {
  gate: string;
  code: string;
  by: string;
  decision: 'approve' | 'reject';
  comment?: string;
  /** Armored SSH signature over {@link signedTextFor} (identity `signed`). */
  signature?: string;
};

export type DecisionOutcome = {
  gate: string;
  decision: 'approve' | 'reject';
  by: string;
  identity: 'declared' | 'signed';
  counted: boolean;
  /** Why it did not count. */
  why: string | null;
  /** Approvals that count so far, and how many are needed. */
  approvals: number;
  required: number;
};

export type VerifySignatureInput = { environment: string; by: string; text: string; signature: string };
export type VerifySignatureResult = { valid: boolean; why: string | null };

/** What a person with identity `signed` signs: nothing in it can be replayed at another gate or run. */
export function signedTextFor(decision: Pick<Decision, 'gate' | 'code' | 'by' | 'decision'>, run: string): string {
  return `pgr ${decision.decision} ${run} ${decision.gate} ${decision.code} ${decision.by}\n`;
}

/** Namespace of `ssh-keygen -Y sign -n`. */
export const SIGNATURE_NAMESPACE = 'pgr';
