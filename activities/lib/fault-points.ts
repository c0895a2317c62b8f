/**
 * Named places where a test can let the process die, compiled in and idle otherwise. Armed by PGR_FAULT=<name> and
 * PGR_FAULT_FLAG=<file>: the first process that reaches the place creates the file and kills itself with SIGKILL; later ones pass.
 * Several are separated by blanks, the second one's file is <file>-1. With <name>=SIGSTOP it freezes there instead until somebody continues
 * it: what happens meanwhile happens exactly there.
 */
import { closeSync, openSync } from 'node:fs';

/** Dies (or freezes) here when this point is armed and was not reached before. */
export function faultPoint(name: string): void {
  const [armed, flag] = [process.env['PGR_FAULT'], process.env['PGR_FAULT_FLAG']];
  if (armed === undefined || flag === undefined) return;
  const points = armed.split(' ');
  const index = points.findIndex((point) => point === name || point === `${name}=SIGSTOP`);
  if (index < 0) return;
  try {
    closeSync(openSync(index === 0 ? flag : `${flag}-${String(index)}`, 'wx'));
  } catch {
    return; // reached before
  }
  process.kill(process.pid, points[index] === name ? 'SIGKILL' : 'SIGSTOP');
}
