import { ApplicationFailure } from '@temporalio/common';

import { programEnvironment } from '../../activities/lib/exec-secrets.js';
import { createSecretMask, secretForms } from '../../activities/lib/secret-mask.js';
import { secretRef } from '../../config/schema-parts.js';
import { maskFailures } from '../../workers/mask-failures.js';

const SECRET = 'p@ss/w0rd "quoted" +ümlaut=';

function maskOf(...values: string[]) {
  const mask = createSecretMask();
  values.forEach((value) => {
    mask.learn(value);
  });
  return mask;
}

test.each([
  ['as it is', SECRET],
  ['in JSON', JSON.stringify({ password: SECRET })],
  ['in a url', `postgres://ana:${encodeURIComponent(SECRET)}@db/shop`],
  ['in a form', new URLSearchParams({ password: SECRET }).toString()],
  ['in base64', Buffer.from(SECRET).toString('base64')],
  ['in an authorization header', `Basic ${Buffer.from(`ana:${SECRET}`).toString('base64')}`],
  ['in another one', `Basic ${Buffer.from(`ana.b:${SECRET}\n`).toString('base64url')}`],
  ['in a third one', `Basic ${Buffer.from(`an:${SECRET}x`).toString('base64')}`],
])('a secret %s is taken out', (_title, text) => {
  const masked = maskOf(SECRET).mask(`before ${text} after`);
  expect(masked).toMatch(/^before .*\*\*\*.* after$/);
  for (const form of secretForms(SECRET)) expect(masked).not.toContain(form);
});

test('a line of a key is a secret too', () => {
  const key = '-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END KEY-----';
  expect(maskOf(key).mask('read MIIEvQIBADANBgkqhkiG9w0BAQEF')).toBe('read ***');
});

test('one secret inside another leaves nothing of the longer one', () => {
  expect(maskOf('secret', 'secret-and-more').mask('secret-and-more, secret')).toBe('***, ***');
});

test('what is too short to be one is left: it would mask words', () => {
  expect(maskOf('', 'abc').mask('abcdef')).toBe('abcdef');
});

test('texts without a secret stay the same, and old secrets are forgotten', () => {
  const mask = maskOf('first-secret', ...Array.from({ length: 500 }, (_, index) => `value-${String(index)}-x`));
  expect(mask.mask('first-secret')).toBe('first-secret');
  expect(mask.mask('value-499-x nothing')).toBe('*** nothing');
});

test('what an activity throws has no secret in message, stack, details and causes', async () => {
  const mask = maskOf(SECRET);
  const cause = new Error(`connect with ${SECRET}`);
  const failure = ApplicationFailure.create({
    type: 'CommandFailed',
    message: `said ${SECRET}`,
    nonRetryable: true,
    details: [{ hint: `try ${SECRET}`, next: [`run ${SECRET}`] }],
    cause,
  });
  const { inbound } = maskFailures(mask)<object, never>();
  const thrown: unknown = await inbound.execute({}, () => Promise.reject(failure)).catch((error: unknown) => error);
  expect(thrown).toBe(failure);
  expect(failure).toMatchObject({ message: 'said ***', type: 'CommandFailed', nonRetryable: true });
  expect(failure.details).toEqual([{ hint: 'try ***', next: ['run ***'] }]);
  expect(`${failure.stack ?? ''}${cause.message}${cause.stack ?? ''}`).not.toContain(SECRET);
});

test('an error that names itself as its cause ends the search', () => {
  const error = new Error(`x ${SECRET}`);
  error.cause = error;
  maskOf(SECRET).maskError(error);
  expect(error.message).toBe('x ***');
});

test('a program of ours gets the environment of a command that the config names, without what moves libpq or Node.js', () => {
  const source = { VAULT_TOKEN: 'x', PGHOST: 'elsewhere', PGR_OP: '/op', NODE_OPTIONS: '--inspect', HOME: '/root' };
  expect(programEnvironment({ key: 'env:HOME' }, source)).toEqual({ HOME: '/root', PGR_OP: '/op' });
  expect(programEnvironment({ deep: [{ key: 'exec:["vault"]' }] }, source)).toEqual({
    VAULT_TOKEN: 'x',
    PGR_OP: '/op',
    HOME: '/root',
  });
});

test.each([
  ['env:NAME', 'env:NAME'],
  ['op://infra/db/password', 'op://infra/db/password'],
  ['op://infra/idnibgfgtpmkgb7sjeafup5jlqem/section/field', 'op://infra/idnibgfgtpmkgb7sjeafup5jlqem/section/field'],
  ['op://infra/db/one-time password?attribute=otp', 'op://infra/db/one-time password?attribute=otp'],
  [{ exec: ['vault', 'kv', 'get'] }, 'exec:["vault","kv","get"]'],
])('reference %j', (given, reference) => {
  expect(secretRef.parse(given)).toBe(reference);
});

test.each([
  'hunter2',
  'op://IT/Databasus (Postgres Backup)/password',
  'op://infra/db',
  'op://a/b/c/d/e',
  'file:relative',
  'exec:',
  { exec: [] },
])('%j is no reference', (given) => {
  expect(secretRef.safeParse(given).success).toBe(false);
});
