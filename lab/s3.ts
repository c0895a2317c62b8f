/** The S3 server of the lab with its bucket. */
import { CreateBucketCommand, HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { mkdir } from 'node:fs/promises';

import { createS3Client } from '../activities/backup-store/s3-client.js';
import { weedArgs, weedIdentities } from './commands.js';
import { updateState, type LabContext } from './context.js';
import { replaceText } from './files.js';
import { LAB_BUCKET, type LabPaths } from './paths.js';
import { findRunning, startDetached, waitUntilReady, type DetachedProgram } from './process.js';
import { s3Location } from './recovery-config.js';
import { readSecret } from './secrets.js';

/** Master, volume server, filer and gateway come up one after another: three seconds alone, more on a busy machine. */
const READY_TIMEOUT_MS = 90_000;

/** Words of the command line that name this lab's server. */
export function s3Signature(paths: LabPaths): string[] {
  return ['server', `-dir=${paths.s3DataDir}`];
}

/** Starts the server unless it runs and waits until the bucket is there. Returns its pid. */
export async function startS3(context: LabContext): Promise<number> {
  const { paths, state } = context;
  await mkdir(paths.s3DataDir, { recursive: true, mode: 0o700 });
  const [accessKeyId, secretAccessKey] = await Promise.all([
    readSecret(paths, 's3-access-key-id'),
    readSecret(paths, 's3-secret-access-key'),
  ]);
  await replaceText(paths.s3Config, weedIdentities(accessKeyId, secretAccessKey), { mode: 0o600 });
  const program: DetachedProgram = {
    name: 's3',
    program: state.tools.weed.path,
    args: weedArgs(paths, state.ports),
    logFile: paths.log('s3'),
    signature: s3Signature(paths),
  };
  const identity = (await findRunning(state.processes.s3, program.signature)) ?? (await startDetached(program));
  await updateState(context, { processes: { ...state.processes, s3: identity } });
  const client = createS3Client(s3Location(paths, state.ports), { accessKeyId, secretAccessKey });
  try {
    await waitUntilReady(program, identity, () => bucketIsThere(client), READY_TIMEOUT_MS);
  } finally {
    client.destroy();
  }
  return identity.pid;
}

/** True once the bucket exists, creating it; false while the server does not answer yet. */
async function bucketIsThere(client: S3Client): Promise<boolean> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: LAB_BUCKET }));
    return true;
  } catch {
    // Not there yet, or no answer yet: creating it tells.
  }
  try {
    await client.send(new CreateBucketCommand({ Bucket: LAB_BUCKET }));
    return true;
  } catch {
    return false;
  }
}
