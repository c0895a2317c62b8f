/** The settings below which a standby or sandbox refuses to read WAL (see MinimumSettings). */
import type { MinimumSettings } from './contracts/plan.js';

/** The largest of each setting. */
export function largestSettings(first: MinimumSettings, ...others: readonly MinimumSettings[]): MinimumSettings {
  const largest = (key: keyof MinimumSettings): number =>
    others.reduce((most, settings) => Math.max(most, settings[key]), first[key]);
  return {
    maxConnections: largest('maxConnections'),
    maxWorkerProcesses: largest('maxWorkerProcesses'),
    maxWalSenders: largest('maxWalSenders'),
    maxPreparedTransactions: largest('maxPreparedTransactions'),
    maxLocksPerTransaction: largest('maxLocksPerTransaction'),
  };
}
