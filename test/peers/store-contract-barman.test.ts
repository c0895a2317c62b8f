/** The contract of backup stores with the real Barman, to which the server streams its WAL. */
import path from 'node:path';

import { buildPrograms } from '../pg/backup-store/programs.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { startCluster } from '../support/cluster.js';
import { harmFile, largestFile, spoilMiddle } from '../support/harm.js';
import { storeContract } from './store.contract.js';

storeContract('barman', async () => {
  const programs = await buildPrograms();
  let barman: TestBarman;
  return {
    programs: programs.dir,
    async startSource(conf) {
      const source = await startCluster({ conf });
      barman = await startBarman(source);
      return source;
    },
    backups: () => ({ kind: 'barman', server: SERVER, command: barman.command }),
    takeBase: () => barman.backup(),
    switchWal: () => barman.switchWal(),
    harmWal: (name, change) => harmFile(path.join(barman.home, SERVER, 'wals', name.slice(0, 16), name), change),
    harmBase: async (id) =>
      harmFile(await largestFile(path.join(barman.home, SERVER, 'base', id, 'data', 'base')), spoilMiddle),
    async destroy() {
      await destroyAllBarmans();
      await programs.remove();
    },
  };
});
