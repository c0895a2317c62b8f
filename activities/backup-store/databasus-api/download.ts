/**
 * Gets a restore stream to its end. A download cannot go on where it broke off, so every try begins from the start with a new token; a token that
 * was spent, ran out or died with the controller is asked for again, and a download of the same user that is still open is waited for.
 */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { Patience } from '../s3-retry.js';
import { askRestoreToken } from './api.js';
import { patiently } from './patience.js';
import { errorText, refusal } from './refusals.js';
import type { Session } from './session.js';
import { CutStream } from './stream-tar.js';

export type StreamSource = {
  session: Session;
  databaseId: string;
  /** What the controller chooses the bases by; null for the newest. */
  targetTime: string | null;
  patience: Patience;
};

/** A stream that ended early once may have met a storage that hiccupped; one that does so twice lacks an object. */
const CUT_TRIES = 2;
/** Connections that broke in the middle; what a day of a bad network costs is said by the failure, not tried for ever. */
const BROKEN_TRIES = 5;

/**
 * Hands streams to `read` until one was read to its end, and returns what that gave. Throws TargetNotRecoverable when the controller cannot
 * reach the target, BackupCorrupt for a stream that ends early again, StoreUnavailable when connections go on breaking.
 */
export async function readWholeStream<T>(
  source: StreamSource,
  read: (content: AsyncIterable<Buffer>) => Promise<T>,
): Promise<T> {
  for (let cut = 1, broken = 1; ;) {
    const content = await patiently(source.patience, () => openStream(source));
    try {
      return await read(content);
    } catch (error) {
      if (error instanceof CutStream) {
        if (cut >= CUT_TRIES) throw cutFailure(source.session.where, error);
        cut += 1;
      } else {
        if (!isFailureOf(error, 'StoreUnavailable') || broken >= BROKEN_TRIES) throw error;
        broken += 1;
      }
    }
  }
}

async function openStream({ session, databaseId, targetTime }: StreamSource): Promise<AsyncIterable<Buffer>> {
  const token = await askRestoreToken(session, databaseId, targetTime);
  if (token.outcome === 'not-restorable') throw notRestorable(targetTime, token.why);
  if (token.outcome === 'busy') throw busy(session, token.why);
  const answer = await session.download(token.path);
  if (answer.content !== null) return answer.content;
  if (answer.status === 409) throw busy(session, errorText(answer));
  if (answer.status === 401) {
    throw stepFailure(
      'StoreUnavailable',
      `the controller at ${session.where} does not know its own restore token: ${errorText(answer)}`,
      {
        hint: 'tokens are lost when the controller restarts; another one is asked for by itself',
      },
    );
  }
  throw refusal(session.where, 'send the restore stream', answer);
}

function busy({ email, where }: Session, why: string): Error {
  return stepFailure('StoreUnavailable', `the controller at ${where} sends another download to user ${email}: ${why}`, {
    hint: 'it ends by itself; give every environment (and every person) a user of its own, because a user has one download at a time',
  });
}

function notRestorable(targetTime: string | null, why: string): Error {
  return stepFailure(
    'TargetNotRecoverable',
    `the controller cannot restore ${targetTime ?? 'its newest backup'}: ${why}`,
    {
      hint: 'run `pgr window` to see what the controller has; its newest wal is what it has received, the open segment is not in it',
    },
  );
}

function cutFailure(where: string, { message }: CutStream): Error {
  return stepFailure('BackupCorrupt', `the restore stream of the controller at ${where} is not whole: it ${message}`, {
    hint: 'the controller sends status 200 and stops when an object is missing in its storage: look at its log, take another target or the bucket itself (store databasus-bucket)',
  });
}

/** The time that makes the controller choose exactly the chain of a plan: for a time the target itself, else just behind the end of its last base. */
export function targetTimeFor({ target, baseChain }: Pick<RecoveryPlan, 'target' | 'baseChain'>): string | null {
  if (target.kind === 'time') return target.value;
  const last = baseChain.at(-1);
  return last === undefined ? null : microsecondLater(last.endedAt);
}

/** The lists are cut to microseconds, so the end itself may lie a moment before what the controller compares with. */
function microsecondLater(time: string): string {
  const micros = BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26)) + 1n;
  const seconds = new Date(Number(micros / 1000n)).toISOString().slice(0, 19);
  return `${seconds}.${(micros % 1_000_000n).toString().padStart(6, '0')}Z`;
}
