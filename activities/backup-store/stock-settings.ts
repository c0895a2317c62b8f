/** PostgreSQL's defaults, for stores that do not say what the source had: a sandbox reads the real ones from pg_control of the restored base. */
import type { BaseHeader } from './base-catalog.js';

export const STOCK_SETTINGS: BaseHeader['settings'] = {
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
};
