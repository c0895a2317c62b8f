/** The contract of backup stores with our own layout: bases by take-base, WAL by wal-push, restored with the rights of a reader. */
import { createObjectStore } from '../../activities/backup-store/s3-objects.js';
import { buildPrograms, createSite } from '../pg/backup-store/programs.js';
import { bucketHand } from '../support/barman-scene.js';
import { startCluster } from '../support/cluster.js';
import { destroyAllS3, READER, startS3 } from '../support/s3.js';
import { storeContract } from './store.contract.js';

storeContract('s3', async () => {
  const [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  const site = await createSite(programs, s3);
  const hand = bucketHand(s3);
  const objects = createObjectStore(s3.location, s3);
  process.env['PGR_TEST_S3_READER'] = READER.accessKeyId;
  process.env['PGR_TEST_S3_READER_SECRET'] = READER.secretAccessKey;
  const keys = { accessKeyId: 'env:PGR_TEST_S3_READER', secretAccessKey: 'env:PGR_TEST_S3_READER_SECRET' };
  const secrets = `PGR_TEST_S3_KEY=${s3.accessKeyId} PGR_TEST_S3_SECRET=${s3.secretAccessKey}`;
  const push = `${process.execPath} ${programs.file('wal-push')} --config ${site.configPath} --environment site %p`;
  let taken = 0;
  return {
    programs: programs.dir,
    startSource: (conf) =>
      startCluster({ conf: ['archive_mode = on', `archive_command = '${secrets} ${push}'`, ...conf] }),
    backups: () => ({ kind: 's3', ...s3.location, ...keys }),
    async takeBase(source) {
      taken += 1;
      const id = `base-${String(taken)}`;
      const { code, stderr } = await site.takeBase(source, id);
      if (code !== 0) throw new Error(stderr);
      return id;
    },
    harmWal: (name, change) => hand.change(`wal/${name}.lz4`, change),
    async harmBase(id) {
      const tar = (await objects.list(`bases/${id}/`)).find(({ key }) => key.includes('.tar'))!;
      return hand.change(tar.key, (body) => Buffer.from(body).fill(0x55, body.length >> 1, (body.length >> 1) + 64));
    },
    async destroy() {
      await site.remove();
      await programs.remove();
      await destroyAllS3();
    },
  };
});
