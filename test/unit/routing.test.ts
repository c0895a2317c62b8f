import { parseMultihostUrl } from '../../activities/lib/multihost-url.js';

test('reads hosts in order, with the default port, and never the password', () => {
  const url = parseMultihostUrl(
    'postgresql://app:s3cret@dallas:5433,chicago,[::1]:5434/shop?target_session_attrs=read-write',
  );
  expect(url).toEqual({
    hosts: [
      { host: 'dallas', port: 5433 },
      { host: 'chicago', port: 5432 },
      { host: '::1', port: 5434 },
    ],
    user: 'app',
    database: 'shop',
    targetSessionAttrs: 'read-write',
  });
  expect(JSON.stringify(url)).not.toContain('s3cret');
});

test('user and database may be left out', () => {
  expect(parseMultihostUrl('postgres://127.0.0.1:1')).toEqual({
    hosts: [{ host: '127.0.0.1', port: 1 }],
    user: null,
    database: null,
    targetSessionAttrs: 'any',
  });
});

test.each(['mysql://a', 'postgresql://a:99999/x', 'postgresql://a:b:c/x'])('%s is refused', (url) => {
  expect(() => parseMultihostUrl(url)).toThrow(/routing\.url/);
});
