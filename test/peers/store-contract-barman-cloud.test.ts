/** The contract of backup stores with a bucket that the real barman-cloud writes, restored with the rights of a reader. */
import { buildPrograms } from '../pg/backup-store/programs.js';
import { barmanCloud } from '../support/barman-cloud.js';
import { bucketHand } from '../support/barman-scene.js';
import { startCluster } from '../support/cluster.js';
import { destroyAllS3, READER, startS3 } from '../support/s3.js';
import { storeContract } from './store.contract.js';

const SERVER = 'shop';

storeContract('barman-cloud', async () => {
  const [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  const barman = await barmanCloud(s3, 'pg');
  const hand = bucketHand(s3);
  process.env['PGR_TEST_S3_READER'] = READER.accessKeyId;
  process.env['PGR_TEST_S3_READER_SECRET'] = READER.secretAccessKey;
  const keys = { accessKeyId: 'env:PGR_TEST_S3_READER', secretAccessKey: 'env:PGR_TEST_S3_READER_SECRET' };
  return {
    programs: programs.dir,
    startSource: (conf) =>
      startCluster({ conf: ['archive_mode = on', `archive_command = '${barman.archiveCommand(SERVER)}'`, ...conf] }),
    backups: () => ({ kind: 'barman-cloud', ...s3.location, ...keys, prefix: 'pg/', server: SERVER }),
    takeBase: (source) => barman.backup(source, SERVER, ['--gzip']),
    harmWal: (name, change) => hand.change(`pg/${SERVER}/wals/${name.slice(0, 16)}/${name}.gz`, change),
    harmBase: (id) =>
      hand.change(`pg/${SERVER}/base/${id}/data.tar.gz`, (body) =>
        Buffer.from(body).fill(0x55, body.length >> 1, (body.length >> 1) + 64),
      ),
    async destroy() {
      await programs.remove();
      await destroyAllS3();
    },
  };
});
