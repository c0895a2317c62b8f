import type { AuditInput, AuditResult } from '../shared/contracts/runs.js';
import { interactive } from './lib/activity-proxies.js';
import { asRunFailure } from './lib/failures.js';

/** Reads records for the command line, which has no access to the store itself. */
export async function audit(input: AuditInput): Promise<AuditResult> {
  try {
    switch (input.action) {
      case 'list': {
        const { action, ...filter } = input;
        return { action, records: await interactive.listRecords(filter) };
      }
      case 'read':
        return { action: input.action, record: await interactive.readRecord({ run: input.run }) };
      case 'verify': {
        const { action, ...filter } = input;
        return { action, report: await interactive.verifyRecords(filter) };
      }
    }
  } catch (error) {
    throw asRunFailure(error);
  }
}
