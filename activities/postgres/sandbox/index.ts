/** The activities around a sandbox. */
export { createCombineIncrementals } from './combine-incrementals.js';
export { createDiscardSandbox } from './discard-sandbox.js';
export { createPrepareSandbox } from './prepare-sandbox.js';
export { createReadSandbox } from './read-sandbox.js';
export { createReplayWal } from './replay-wal.js';
export { createRestoreBase } from './restore-base.js';
export { createVerifySandbox } from './verify-sandbox.js';
