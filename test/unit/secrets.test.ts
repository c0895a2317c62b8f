import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { classifyOpFailure } from '../../activities/secrets/classify-op-failure.js';
import { execCommand, opReadArgs } from '../../activities/secrets/commands.js';
import { whyOpen } from '../../activities/secrets/read-file.js';
import { nameOfReference } from '../../activities/secrets/reference.js';
import { createSecretResolver } from '../../activities/secrets/resolve-secret.js';

const VALUE = 'correct horse battery staple';
let dir: string;
let op: string;

/**
 * A stand-in for `op` that knows one vault and otherwise says what op 2.39 was recorded to say. `mode` in OP_TEST_MODE;
 * calls are counted in a file.
 */
const OP = `#!/bin/sh
dir=$(dirname "$0")
echo "$@" >>"$dir/calls"
now='[ERROR] 2026/11/21 03:42:00'
[ "$1" = read ] || { echo "unknown command" >&2; exit 1; }
shift
newline=1
while [ $# -gt 1 ]; do case $1 in -n|--no-newline) newline=; shift ;; *) shift ;; esac; done
case $(cat "$dir/mode" 2>/dev/null) in
  signed-out) echo "$now error initializing client: You are not currently signed in. Please run \`op signin --help\` for instructions" >&2; exit 1 ;;
  no-account) printf '%s\\n' "No accounts configured for use with 1Password CLI." "" "You can either:" >&2; exit 1 ;;
  token) echo "$now (401) Unauthorized: invalid bearer token" >&2; exit 1 ;;
  forbidden) echo "$now (403) Forbidden: You aren't authorized to access this resource." >&2; exit 1 ;;
  malformed-token) echo "$now could not create client: Validation: (failed to session.DecodeSACredentials), Server: (failed to DecodeSACredentials), illegal base64 data at input byte 4" >&2; exit 1 ;;
  timeout) echo "$now error initializing client: read: context deadline exceeded" >&2; exit 1 ;;
  timeout-once) rm "$dir/mode"; echo "$now error initializing client: read: context deadline exceeded" >&2; exit 1 ;;
  environment) env >"$dir/environment" ;;
esac
case $(echo "$1" | tr 'A-Z' 'a-z') in
  op://infra/production-postgres/pgr-password) printf '%s' '${VALUE}'; [ -z "$newline" ] || echo ;;
  op://infra/production-postgres/*) echo "$now could not read secret '$1': item 'infra/production-postgres' does not have a field 'nothing'" >&2; exit 1 ;;
  op://infra/*) echo "$now could not read secret '$1': could not get item infra/x: \\"x\\" isn't an item in the \\"infra\\" vault. Specify the item with its UUID, name, or domain." >&2; exit 1 ;;
  *) echo "$now could not read secret '$1': \\"none\\" isn't a vault in this account" >&2; exit 1 ;;
esac
`;

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-secrets-'));
  op = path.join(dir, 'op');
  await writeFile(op, OP);
  await chmod(op, 0o755);
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const REF = 'op://infra/production-postgres/pgr-password';
const resolver = (env: Record<string, string> = {}, now?: () => number) =>
  createSecretResolver({ env, op, retryDelayMs: 1, ...(now === undefined ? {} : { now }) });
const calls = async (): Promise<number> => (await readFile(path.join(dir, 'calls'), 'utf8')).trim().split('\n').length;

describe('env:', () => {
  test('gives the value of the variable', async () => {
    await expect(resolver({ PW: VALUE })('env:PW')).resolves.toBe(VALUE);
  });
  test.each([
    ['not set', {}],
    ['empty', { PW: '' }],
  ])('a variable that is %s is refused', async (_title, env) => {
    await expect(resolver(env)('env:PW')).rejects.toMatchObject({ type: 'CredentialsRefused', nonRetryable: true });
  });
});

describe('file:', () => {
  const write = async (text: string, mode: number): Promise<string> => {
    const file = path.join(dir, 'secret');
    await writeFile(file, text);
    await chmod(file, mode);
    return `file:${file}`;
  };
  test('gives the content without the line end', async () => {
    await expect(resolver()(await write(`${VALUE}\n`, 0o600))).resolves.toBe(VALUE);
    await expect(resolver()(await write(` ${VALUE} \r\n`, 0o400))).resolves.toBe(` ${VALUE} `);
  });
  test.each([
    [0o600, 1000, null],
    [0o400, 0, null],
    [0o700, 1000, null],
    // root:pgr 0640 is how packages and tools hand a secret to a service; a group that root did not choose may be anybody.
    [0o640, 0, null],
    [0o440, 0, null],
    [0o640, 1000, /read by its group/],
    [0o660, 0, /changed by its group/],
    [0o650, 0, /changed by its group/],
    [0o604, 0, /every user/],
    [0o644, 1000, /every user/],
    [0o602, 0, /every user/],
  ])('mode %s of user %i', (mode, uid, problem) => {
    const why = whyOpen({ mode, uid });
    if (problem === null) expect(why).toBeNull();
    else expect(why).toMatch(problem);
  });
  test('a file that its group can change is refused', async () => {
    await expect(resolver()(await write(VALUE, 0o660))).rejects.toThrow(/changed by its group/);
  });
  test('a file that is no secret at all is not read', async () => {
    await expect(resolver()(await write('x'.repeat(70_000), 0o600))).rejects.toThrow(/larger than 64 KiB/);
  });
  test('a file that every user of the host can read is refused, and the value is not in the message', async () => {
    const failure = await resolver()(await write(VALUE, 0o644)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'CredentialsRefused' });
    expect(JSON.stringify(failure)).not.toContain(VALUE);
    expect((failure as { details: [{ hint: string }] }).details[0].hint).toContain('chmod 600');
  });
  test.each([
    ['missing', (): string => 'file:/nonexistent/secret', /cannot be read \(ENOENT\)/],
    ['a directory', (): string => `file:${dir}`, /not a regular file/],
  ])('a file that is %s is refused', async (_title, reference, message) => {
    await expect(resolver()(reference())).rejects.toThrow(message);
  });
  test('an empty file is refused', async () => {
    await expect(resolver()(await write('\n', 0o600))).rejects.toThrow(/is empty/);
  });
});

describe('op://', () => {
  test('asks op without a shell and without a line end', () => {
    expect(opReadArgs(REF)).toEqual(['read', '--no-newline', REF]);
  });
  test('gives the value, and asks once for many uses', async () => {
    const resolve = resolver();
    await expect(resolve(REF)).resolves.toBe(VALUE);
    await expect(resolve(REF)).resolves.toBe(VALUE);
    expect(await calls()).toBe(1);
  });
  test('asks again after five minutes, so that a rotated secret arrives', async () => {
    let now = 0;
    const resolve = resolver({}, () => now);
    await resolve(REF);
    now = 5 * 60_000 + 1;
    await resolve(REF);
    expect(await calls()).toBe(2);
  });
  test('hands over OP_ variables and nothing else of ours', async () => {
    await writeFile(path.join(dir, 'mode'), 'environment');
    await resolver({ OP_SERVICE_ACCOUNT_TOKEN: 'ops_x', PGPASSWORD: 'other' })(REF);
    const environment = await readFile(path.join(dir, 'environment'), 'utf8');
    expect(environment).toContain('OP_SERVICE_ACCOUNT_TOKEN=ops_x');
    expect(environment).not.toContain('PGPASSWORD');
  });
  test('a timeout that passes is retried and does not show', async () => {
    await writeFile(path.join(dir, 'mode'), 'timeout-once');
    await expect(resolver()(REF)).resolves.toBe(VALUE);
    expect(await calls()).toBe(2);
  });
  test('a timeout that stays is left to the retries of the activity', async () => {
    await writeFile(path.join(dir, 'mode'), 'timeout');
    await expect(resolver()(REF)).rejects.toMatchObject({ type: 'SecretUnavailable', nonRetryable: false });
    expect(await calls()).toBe(3);
  });
  test.each(['signed-out', 'no-account', 'token', 'forbidden', 'malformed-token'])(
    'op says %s: refused at once, asked only once',
    async (mode) => {
      await writeFile(path.join(dir, 'mode'), mode);
      await expect(resolver()(REF)).rejects.toMatchObject({ type: 'CredentialsRefused', nonRetryable: true });
      expect(await calls()).toBe(1);
    },
  );
  test.each(['op://infra/production-postgres/nothing', 'op://infra/x/y', 'op://none/x/y'])(
    '%s is not found, and the hint says where to look',
    async (reference) => {
      await expect(resolver()(reference)).rejects.toMatchObject({
        type: 'CredentialsRefused',
        details: [{ hint: expect.stringContaining('check vault, item and field') as string }],
      });
    },
  );
  test('op that is not installed is said plainly', async () => {
    const resolve = createSecretResolver({ env: {}, op: path.join(dir, 'no-op') });
    await expect(resolve(REF)).rejects.toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringContaining('does not start') as string,
    });
  });
  test('a text that nobody recorded is unknown and not retried', () => {
    expect(classifyOpFailure('[ERROR] 2026/11/21 03:42:00 something new')).toBe('unknown');
  });
});

describe('exec:', () => {
  const script = async (text: string): Promise<string> => {
    const file = path.join(dir, 'manager');
    await writeFile(file, `#!/bin/sh\necho called >>"${dir}/calls"\n${text}\n`);
    await chmod(file, 0o755);
    return file;
  };
  const list = (...argv: string[]): string => `exec:${JSON.stringify(argv)}`;

  test.each([
    ['exec:vault kv get -field=password secret/db', ['vault', 'kv', 'get', '-field=password', 'secret/db']],
    [list('sops', '-d', '--extract', '["a b"]', 'f'), ['sops', '-d', '--extract', '["a b"]', 'f']],
    ['exec:vault kv get "my secret"', null],
    ['exec:sh -c $HOME', null],
    ['exec:[1]', null],
    ['exec:', null],
    ['exec:  ', null],
  ])('%s', (reference, command) => {
    expect(execCommand(reference)).toEqual(command);
  });
  test('what the program prints is the secret, without the line end; what it says besides is not', async () => {
    const program = await script(`echo "a warning" >&2; echo '${VALUE}'`);
    await expect(resolver()(list(program, 'x'))).resolves.toBe(VALUE);
  });
  test('arguments arrive as they are written: there is no shell', async () => {
    const program = await script('printf "%s|" "$@"');
    await expect(resolver()(list(program, 'a b', '$(id)', '*'))).resolves.toBe('a b|$(id)|*|');
  });
  test('the program has the environment of the worker, where its own token is', async () => {
    const program = await script('printf %s "$VAULT_TOKEN"');
    await expect(resolver({ VAULT_TOKEN: 'hvs.1', PATH: '/bin' })(list(program))).resolves.toBe('hvs.1');
  });
  test('asked once for many uses, also when they come together', async () => {
    const program = await script(`echo '${VALUE}'`);
    const resolve = resolver();
    await expect(Promise.all([resolve(list(program)), resolve(list(program))])).resolves.toEqual([VALUE, VALUE]);
    await resolve(list(program));
    expect(await calls()).toBe(1);
  });
  test('a failure is retried, and neither arguments nor output are in its message', async () => {
    const program = await script(`echo "${VALUE}"; echo "bad token ${VALUE}" >&2; exit 2`);
    const resolve = resolver();
    const failure = await resolve(list(program, 'hvs.token')).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'SecretUnavailable', nonRetryable: false });
    expect(JSON.stringify(failure) + String(failure)).not.toMatch(/correct horse|hvs\.token/);
    await resolve(list(program, 'hvs.token')).catch(() => undefined);
    expect(await calls()).toBe(2);
  });
  test('a program that hangs is ended', async () => {
    const program = await script('exec sleep 60');
    const resolve = createSecretResolver({ env: { PATH: process.env['PATH'] }, execTimeoutMs: 300 });
    await expect(resolve(list(program))).rejects.toThrow(/did not end in time/);
  });
  test.each([
    ['a program that is not there', '/nonexistent/vault', /does not start/],
    ['a program that prints nothing', 'true', /is empty/],
  ])('%s is refused', async (_title, program, message) => {
    const resolve = createSecretResolver({ env: { PATH: process.env['PATH'] } });
    await expect(resolve(list(program))).rejects.toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringMatching(message) as string,
    });
  });
  test('messages name the program only', () => {
    expect(nameOfReference(list('/usr/bin/vault', 'token=x'))).toBe('exec:/usr/bin/vault …');
    expect(nameOfReference('exec:vault token=x')).toBe('exec:vault …');
    expect(nameOfReference('env:PW')).toBe('env:PW');
  });
});

test('every value that is resolved is told to the mask', async () => {
  const learned: string[] = [];
  const resolve = createSecretResolver({ env: { PW: VALUE }, op, mask: { learn: (value) => learned.push(value) } });
  await resolve('env:PW');
  await resolve(REF);
  expect(learned).toEqual([VALUE, VALUE]);
});

test('a secret in place of a reference is refused and not repeated', async () => {
  const failure = await resolver()('hunter2').catch((error: unknown) => error);
  expect(failure).toMatchObject({ type: 'CredentialsRefused' });
  expect(JSON.stringify(failure)).not.toContain('hunter2');
  expect(String(failure)).not.toContain('hunter2');
});
