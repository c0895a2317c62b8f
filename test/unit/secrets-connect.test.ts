/**
 * Scenario: 1Password through a Connect server, as a stand-in that answers as its REST API does.
 * Verified: 1 references by name, id and section; 2 what is tried again and what is not; 3 neither token nor value is in what is said.
 */
import { connectServerOf } from '../../activities/secrets/read-connect.js';
import { createSecretResolver } from '../../activities/secrets/resolve-secret.js';
import { startService, type Answer, type NoticeService } from '../support/notice-services.js';

const TOKEN = 'eyJ-connect-token-0001';
const VALUE = 'correct horse';
const VAULT = 'idnibgfgtpmkgb7sjeafup5jlq';
const ITEM = 'a2345678901234567890123456';

const VAULTS = [
  { id: VAULT, name: 'Infra' },
  { id: 'b2345678901234567890123456', name: 'twice' },
  { id: 'c2345678901234567890123456', name: 'Twice' },
];
const DETAILS = {
  id: ITEM,
  title: 'production-postgres',
  sections: [{ id: 'sec1', label: 'Replication' }],
  fields: [
    { id: 'password', label: 'password', value: VALUE, type: 'CONCEALED', purpose: 'PASSWORD' },
    { id: 'f2', label: 'password', value: 'of the section', section: { id: 'sec1' } },
    { id: 'f3', label: 'slot', value: 'only there', section: { id: 'sec1', label: 'Replication' } },
    { id: 'f4', label: 'empty', type: 'STRING' },
    { id: 'f5', label: 'same', value: 'a' },
    { id: 'f6', label: 'same', value: 'b' },
  ],
};

let connect: NoticeService;
beforeEach(async () => {
  connect = await startService(({ path, headers }) => serve(new URL(path, 'http://connect'), headers));
});
afterEach(async () => {
  await connect.stop();
});

function serve(url: URL, headers: Record<string, string>): Answer {
  const no = (status: number, message: string): Answer => ({ status, body: { status, message } });
  if (headers['authorization'] !== `Bearer ${TOKEN}`) return no(401, `Invalid bearer token ${TOKEN}`);
  const wanted = / eq "(.*)"$/.exec(url.searchParams.get('filter') ?? '')?.[1];
  const chosen = (list: { id: string; [key: string]: string }[], key: string): Answer => ({
    status: 200,
    body: wanted === undefined ? list : list.filter((one) => one[key] === wanted),
  });
  if (url.pathname === '/v1/vaults') return chosen(VAULTS, 'name');
  if (url.pathname === `/v1/vaults/${VAULT}/items`) return chosen([{ id: ITEM, title: DETAILS.title }], 'title');
  if (url.pathname === `/v1/vaults/${VAULT}/items/${ITEM}`) return { status: 200, body: DETAILS };
  return no(404, 'not found');
}

const resolver = (env: Record<string, string> = {}) =>
  createSecretResolver({
    env: { OP_CONNECT_HOST: `${connect.url}/`, OP_CONNECT_TOKEN: TOKEN, ...env },
    retryDelayMs: 1,
  });

test.each([
  ['op://Infra/production-postgres/password', VALUE],
  ['op://infra/Production-Postgres/PASSWORD', VALUE],
  [`op://${VAULT}/${ITEM}/password`, VALUE],
  ['op://Infra/production-postgres/replication/password', 'of the section'],
  ['op://Infra/production-postgres/sec1/f2', 'of the section'],
  ['op://Infra/production-postgres/slot', 'only there'],
])('%s is read', async (reference, value) => {
  await expect(resolver()(reference)).resolves.toBe(value);
});

test.each([
  ['op://Infra/production-postgres/nothing', 'not-found'],
  ['op://Infra/other/password', 'not-found'],
  ['op://nowhere/production-postgres/password', 'not-found'],
  [`op://${VAULT}/d2345678901234567890123456/password`, 'not-found'],
  ['op://Infra/production-postgres/other/password', 'not-found'],
  ['op://TWICE/production-postgres/password', 'ambiguous'],
  ['op://Infra/production-postgres/same', 'ambiguous'],
  ['op://Infra', 'malformed'],
])('%s is %s', async (reference, kind) => {
  await expect(resolver()(reference)).rejects.toMatchObject({
    type: 'CredentialsRefused',
    nonRetryable: true,
    message: `1password does not give ${reference} (${kind})`,
  });
});

test('a field that is empty is said so', async () => {
  await expect(resolver()('op://Infra/production-postgres/empty')).rejects.toMatchObject({
    type: 'CredentialsRefused',
    message: expect.stringContaining('is empty') as string,
  });
});

const REF = `op://${VAULT}/${ITEM}/password`;

test('a token that is refused is not tried again, and is in no message', async () => {
  const failure: unknown = await resolver({ OP_CONNECT_TOKEN: 'wrong-token-0002' })(REF).catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ type: 'CredentialsRefused', message: `1password does not give ${REF} (refused)` });
  expect(JSON.stringify(failure)).not.toMatch(/token-000/);
  expect(connect.requests).toHaveLength(1);
});

test.each([
  [{ status: 503, body: 'starting' }],
  [{ status: 429, body: { status: 429, message: 'slow down' } }],
  ['broken' as const],
])('what passes is tried again and does not show: %j', async (fault) => {
  connect.fail({ fault });
  await expect(resolver()(REF)).resolves.toBe(VALUE);
  expect(connect.requests).toHaveLength(2);
});

test('a server that is down is left to the retries of the activity', async () => {
  const resolve = resolver();
  await connect.stop();
  await expect(resolve(REF)).rejects.toMatchObject({ type: 'SecretUnavailable', nonRetryable: false });
});

test('an answer of something else than Connect, a redirect and an address that is none are for a person', async () => {
  connect.fail({ fault: { status: 200, body: '<html>' } });
  await expect(resolver()(REF)).rejects.toMatchObject({ type: 'CredentialsRefused' });
  connect.fail({ fault: { status: 302, headers: { location: connect.url } } });
  await expect(resolver()(REF)).rejects.toMatchObject({ type: 'CredentialsRefused' });
  expect(connect.requests).toHaveLength(2);
  await expect(resolver({ OP_CONNECT_HOST: 'connect' })(REF)).rejects.toMatchObject({ type: 'CredentialsRefused' });
});

test('the program is asked where there is no Connect server, where PGR_OP names it, and for what it computes', () => {
  const both = { OP_CONNECT_HOST: 'http://connect:8080', OP_CONNECT_TOKEN: TOKEN };
  expect(connectServerOf(both, REF)).toEqual({ host: 'http://connect:8080', token: TOKEN });
  expect(connectServerOf({ ...both, PGR_OP: '/usr/bin/op' }, REF)).toBeNull();
  expect(connectServerOf({ OP_CONNECT_HOST: 'http://connect:8080' }, REF)).toBeNull();
  expect(connectServerOf({ OP_SERVICE_ACCOUNT_TOKEN: 'ops_x' }, REF)).toBeNull();
  expect(connectServerOf(both, `${REF}?attribute=otp`)).toBeNull();
});
