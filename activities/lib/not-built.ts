/** For parts that have their interface but not their work yet. */
import { stepFailure } from './failure.js';

/** A function that fails, saying what is missing; it takes the dependencies that the real one will have. */
export function notBuilt(what: string, ...dependencies: unknown[]): () => never {
  return () => {
    throw stepFailure('Bug', `${what} is not there yet (${String(dependencies.length)} dependencies)`);
  };
}
