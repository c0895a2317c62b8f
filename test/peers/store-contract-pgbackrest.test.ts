/** The contract of backup stores with the real pgBackRest, in a stanza with checksummed files on disk. */
import { readdirSync } from 'node:fs';
import path from 'node:path';

import { pollUntil } from '../../activities/lib/poll.js';
import { buildPrograms } from '../pg/backup-store/programs.js';
import { serverDirectory, startCluster } from '../support/cluster.js';
import { harmFile, largestFile, spoilMiddle } from '../support/harm.js';
import { makeStanza, missingForPgbackrest, pgbackrestProgram, type TestStanza } from '../support/pgbackrest.js';
import { freePort } from '../support/ports.js';
import { storeContract } from './store.contract.js';

const NAME = 'contract';
const missing = missingForPgbackrest();

if (missing !== null) {
  console.warn(`skipped: ${missing}`);
  test.skip(`pgbackrest: ${missing}`, () => undefined);
} else {
  storeContract('pgbackrest', async () => {
    const [programs, program] = await Promise.all([buildPrograms(), pgbackrestProgram('forky')]);
    const dir = await serverDirectory('pgr-backrest-');
    const port = await freePort();
    let stanza: TestStanza;
    return {
      programs: programs.dir,
      async startSource(conf) {
        stanza = await makeStanza({ program, dir, name: NAME, port, dataDir: path.join(dir, 'data'), conf: [] });
        const archive = ['archive_mode = on', `archive_command = '${stanza.archiveCommand}'`];
        const source = await startCluster({
          dir,
          port,
          conf: [`unix_socket_directories = '${dir}'`, ...archive, ...conf],
        });
        await stanza.run('stanza-create');
        return source;
      },
      backups: () => ({ kind: 'pgbackrest', stanza: NAME, command: stanza.command }),
      async takeBase() {
        const label = await stanza.backup('full');
        // Its end is told in whole seconds: a time that counts as behind it is in the next one.
        const second = Math.floor(Date.now() / 1000);
        await pollUntil(() => Promise.resolve(Math.floor(Date.now() / 1000) > second ? true : null), {
          timeoutMs: 5_000,
        });
        return label;
      },
      harmWal(name, change) {
        const archive = path.join(stanza.repoDir, 'archive', NAME);
        const id = readdirSync(archive).find((one) => /^\d+-1$/.test(one))!;
        const folder = path.join(archive, id, name.slice(0, 16));
        return harmFile(
          path.join(
            folder,
            readdirSync(folder).find((file) => file.startsWith(`${name}-`))!,
          ),
          change,
        );
      },
      harmBase: async (id) =>
        harmFile(await largestFile(path.join(stanza.repoDir, 'backup', NAME, id, 'pg_data', 'base')), spoilMiddle),
      destroy: () => programs.remove(),
    };
  });
}
