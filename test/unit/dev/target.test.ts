/**
 * Scenario: somebody names a server to restore into.
 * Verified: 1 nothing but this machine and named hosts; 2 no address of an environment; 3 no URL that could lead elsewhere or carries a password.
 */
import {
  isLoopback,
  requireDevAddress,
  routedAddresses,
  targetOf,
} from '../../../activities/postgres/dev/target-address.js';
import type { EnvironmentConfig } from '../../../config/schema.js';

const environments = {
  production: {
    nodes: [
      { name: 'dallas', address: '10.0.0.1', port: 5432 },
      { name: 'local', address: 'localhost', port: 6432 },
    ],
    routing: {
      kind: 'multihost',
      url: 'postgresql://app@10.0.0.9:5000,127.0.0.1:5001/shop?target_session_attrs=read-write',
    },
  },
} as unknown as Record<string, EnvironmentConfig>;

test.each([
  ['postgresql://me@127.0.0.1:5433/shop', { host: '127.0.0.1', port: 5433, user: 'me', database: 'shop' }],
  ['postgres://localhost/shop', { host: 'localhost', port: 5432, user: 'postgres', database: 'shop' }],
  ['postgresql://[::1]:5433/shop%20dev', { host: '::1', port: 5433, user: 'postgres', database: 'shop dev' }],
])('%s is a target', (url, wanted) => {
  expect(targetOf(url)).toEqual(wanted);
});

test.each([
  ['mysql://localhost/shop', /not a postgresql/],
  ['postgresql://me:secret@127.0.0.1/shop', /carries a password/],
  ['postgresql://127.0.0.1/shop?service=production', /says service/],
  ['postgresql://127.0.0.1/shop?hostaddr=10.0.0.1', /says hostaddr/],
  ['postgresql://127.0.0.1/shop?host=10.0.0.1', /says host/],
  ['postgresql://127.0.0.1', /names no database/],
  ['postgresql://127.0.0.1/postgres', /belongs to the server/],
  ['postgresql://127.0.0.1/template1', /belongs to the server/],
])('%s is refused', (url, why) => {
  expect(() => targetOf(url)).toThrow(why);
});

test('a password of a refused URL is not in the message', () => {
  const said: string[] = [];
  try {
    targetOf('postgresql://me:hunter22@127.0.0.1/shop');
  } catch (error) {
    said.push(String(error));
  }
  expect(said).toHaveLength(1);
  expect(said.join()).not.toContain('hunter22');
});

test.each([
  ['10.0.0.7', 5432, /neither this machine nor one of dev.hosts/],
  ['dev.example.com', 5432, /neither this machine nor one of dev.hosts/],
  ['127.0.0.1.example.com', 5432, /neither this machine/],
  ['127.0.0.1', 6432, /node local of environment production/],
  ['::1', 5001, /the write address of environment production/],
])('%s:%d is not touched', (host, port, why) => {
  expect(() => {
    requireDevAddress({ host, port }, [], environments);
  }).toThrow(why);
});

test('a named host is a target, unless an environment has its address', () => {
  requireDevAddress({ host: 'devbox', port: 5432 }, ['devbox', '10.0.0.1'], environments);
  expect(() => {
    requireDevAddress({ host: '10.0.0.1', port: 5432 }, ['10.0.0.1'], environments);
  }).toThrow(/node dallas/);
});

test('loopback is an address of this machine and no name that looks like one', () => {
  expect(['127.0.0.1', '127.1.2.3', '::1', 'localhost', '/var/run/postgresql'].every(isLoopback)).toBe(true);
  expect(['localhost.example.com', '128.0.0.1', '0.0.0.0', ''].some(isLoopback)).toBe(false);
});

test('every host of a write address is known', () => {
  expect(routedAddresses('postgresql://u@a:1,b:2,[::1]:3,c/shop?x=y')).toEqual([
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
    { host: '::1', port: 3 },
    { host: 'c', port: 5432 },
  ]);
});
