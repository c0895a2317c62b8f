/**
 * Named places where a test can let the process die, compiled in and idle otherwise. Armed by PGR_FAULT=<name> and
 * PGR_FAULT_FLAG=<file>: the first process that reaches the place creates the file and kills itself with SIGKILL; later ones pass.
 * With PGR_FAULT_SIGNAL=SIGSTOP it freezes there instead, until somebody continues it: what happens meanwhile happens exactly there.
 */
import { closeSync, openSync } from 'node:fs';

/** Dies (or freezes) here when this point is armed and was not reached before. */
export function faultPoint(name: string): void {
  if (process.env['PGR_FAULT'] !== name) return;
  const flag = process.env['PGR_FAULT_FLAG'];
  if (flag === undefined) return;
  try {
    closeSync(openSync(flag, 'wx'));
  } catch {
    return; // reached before
  }
  process.kill(process.pid, process.env['PGR_FAULT_SIGNAL'] === 'SIGSTOP' ? 'SIGSTOP' : 'SIGKILL');
}
