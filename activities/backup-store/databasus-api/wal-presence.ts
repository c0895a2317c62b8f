/** Whether the controller has received a WAL file, without reading all of its list. */
import { isHistoryName } from '../../../shared/timeline.js';
import type { WalPresence } from '../../lib/backup-store.js';
import { eachBackup } from './api.js';
import { chooseDatabase, type Choice } from './choose-database.js';
import type { Session } from './session.js';

/**
 * The list is newest first and segments are received in order, so the look ends with the first older segment of the timeline. History files are
 * in no list: the receiver gets one before the first segment of its timeline.
 */
export async function walPresence(session: Session, choice: Choice, name: string): Promise<WalPresence> {
  const { id } = await chooseDatabase(session, choice);
  const timeline = name.slice(0, 8);
  for await (const { status, walFilename } of eachBackup(session, id, 'WAL')) {
    const segment = walFilename ?? '';
    if (status !== 'COMPLETED' || segment.slice(0, 8) !== timeline) continue;
    if (isHistoryName(name) || segment === name) return 'found';
    if (segment < name) return 'missing';
  }
  return 'missing';
}
