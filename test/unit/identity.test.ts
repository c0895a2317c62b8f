import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { verifyArgs } from '../../activities/identity/commands.js';
import { createVerifySignature } from '../../activities/identity/verify-signature.js';
import { signText } from '../../cli/sign.js';
import { parseConfig } from '../../config/load.js';
import { signedTextFor } from '../../shared/contracts/decisions.js';
import { CONFIG } from '../support/cli-harness.js';

const RUN = 'lab/pitr/20261121-034200';
const decision = { gate: 'promote', code: 'K7QF2M', by: 'ana', decision: 'approve' as const };
const text = signedTextFor(decision, RUN);

let dir: string;
let allowed: string;

beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'pgr-identity-'));
  allowed = path.join(dir, 'allowed_signers');
  for (const name of ['ana', 'bo'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(dir, name)]);
  const line = (name: string): string =>
    `${name} ${readFileSync(path.join(dir, `${name}.pub`), 'utf8')
      .split(' ')
      .slice(0, 2)
      .join(' ')}\n`;
  writeFileSync(allowed, line('ana') + line('bo'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const verify = (file = allowed) =>
  createVerifySignature({
    config: parseConfig(`${CONFIG}    identity: { kind: signed, allowedSigners: ${file} }\n`, 'test'),
  });
const check = async (change: Partial<{ by: string; text: string; signature: string }>) =>
  verify()({ environment: 'lab', by: 'ana', text, signature: await signText(text, path.join(dir, 'ana')), ...change });

test('asks ssh-keygen with the namespace of pgr', () => {
  expect(verifyArgs({ allowedSigners: '/a', by: 'ana', signatureFile: '/s' })).toEqual([
    '-Y',
    'verify',
    '-f',
    '/a',
    '-I',
    'ana',
    '-n',
    'pgr',
    '-s',
    '/s',
  ]);
});

test('a signature by the named person over this decision is valid', async () => {
  expect(await check({})).toEqual({ valid: true, why: null });
});

const others: [string, Partial<Parameters<typeof signedTextFor>[0]>, string][] = [
  ['another gate', { gate: 'undo' }, RUN],
  ['another code', { code: 'AAAAAA' }, RUN],
  ['the opposite decision', { decision: 'reject' }, RUN],
  ['another run', {}, 'lab/change'],
];
test.each(others)('a signature over %s is not valid here', async (_title, change, run) => {
  const other = signedTextFor({ ...decision, ...change }, run);
  const signature = await signText(other, path.join(dir, 'ana'));
  expect(await check({ signature })).toEqual({ valid: false, why: 'the signature is over another text, code or run' });
});

test('a signature by somebody else under the name of ana is not valid', async () => {
  const signature = await signText(text, path.join(dir, 'bo'));
  expect(await check({ signature })).toEqual({
    valid: false,
    why: 'no key of ana among the allowed signers made this signature',
  });
});

test('a signature for another program (namespace) is not valid', async () => {
  const file = path.join(dir, 'text');
  writeFileSync(file, text);
  execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'git', '-f', path.join(dir, 'ana'), file], { stdio: 'ignore' });
  expect(await check({ signature: readFileSync(`${file}.sig`, 'utf8') })).toMatchObject({ valid: false });
});

test.each([
  ['nothing', ''],
  ['garbage', 'AAAA'],
  ['a cut signature', '-----BEGIN SSH SIGNATURE-----\nU1NI\n'],
  ['a huge text', `-----BEGIN SSH SIGNATURE-----\n${'A'.repeat(100_000)}`],
])('%s is no signature, and no failure', async (_title, signature) => {
  expect(await check({ signature })).toMatchObject({ valid: false });
});

test.each(['-Y', 'ana\nbo', '', '*', 'a,b', '!ana'])('the name %j cannot be a signer', async (by) => {
  expect(await check({ by })).toMatchObject({ valid: false });
});

test('signers that cannot be read are a failure, not "not valid"', async () => {
  await expect(
    verify('/nonexistent/signers')({
      environment: 'lab',
      by: 'ana',
      text,
      signature: await signText(text, path.join(dir, 'ana')),
    }),
  ).rejects.toMatchObject({ type: 'PreconditionFailed' });
});

test('a missing ssh-keygen is a failure, not "not valid"', async () => {
  const config = parseConfig(`${CONFIG}    identity: { kind: signed, allowedSigners: ${allowed} }\n`, 'test');
  const broken = createVerifySignature({ config }, path.join(dir, 'no-ssh-keygen'));
  const signature = await signText(text, path.join(dir, 'ana'));
  await expect(broken({ environment: 'lab', by: 'ana', text, signature })).rejects.toMatchObject({
    type: 'CommandFailed',
  });
});

test('an environment without signers, and an unknown one, are failures', async () => {
  const plain = createVerifySignature({ config: parseConfig(CONFIG, 'test') });
  const input = { by: 'ana', text, signature: 'x' };
  await expect(plain({ environment: 'lab', ...input })).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await expect(plain({ environment: 'nope', ...input })).rejects.toMatchObject({ type: 'EnvironmentUnknown' });
});

test('no temporary file is left', async () => {
  const before = execFileSync('ls', [os.tmpdir()], { encoding: 'utf8' }).match(/pgr-signature-/g)?.length ?? 0;
  await check({});
  const after = execFileSync('ls', [os.tmpdir()], { encoding: 'utf8' }).match(/pgr-signature-/g)?.length ?? 0;
  expect(after).toBe(before);
});
