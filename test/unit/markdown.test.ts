import { codeBlock, codeSpan, escapeMarkdown, proseWithCode } from '../../shared/markdown.js';

// The expectations were read off the pages that the Web UI (2.54.1) made of them.
test.each([
  ['<script>alert(1)</script>', '&#60;script&#62;alert(1)&#60;/script&#62;'],
  ['\\<b> &lt;b>', '\\\\&#60;b&#62; &#38;lt;b&#62;'],
  ['[x](javascript:alert(1))', '\\[x\\](javascript\\:alert(1))'],
  ['a | b', 'a \\| b'],
  ['# heading\n- list', '\\# heading - list'],
  ['https://evil.example', 'https\\://evil.example'],
  ['1. first', '1\\. first'],
  ['**bold** `code`', '\\*\\*bold\\*\\* &#96;code&#96;'],
])('%j of a stranger shows as the text that it is', (text, expected) => {
  expect(escapeMarkdown(text)).toBe(expected);
});

test.each([
  ['replayed to 1/2000028', 'replayed to 1&#47;2000028'],
  ['name a host with --host', 'name a host with \\-\\-host'],
])('%j is not made into a fraction or a dash', (text, expected) => {
  expect(escapeMarkdown(text)).toBe(expected);
});

test('times and names of checks have no escapes, so that the raw page can be read too', () => {
  const text = 'target-reached at 2026-11-21T07:13:30.409112Z (0/E1DA818)';
  expect(escapeMarkdown(text)).toBe(text);
});

test('commands between backticks are code to copy, the rest of a hint stays plain text', () => {
  expect(proseWithCode('run `pgr window --json` or <b>ask</b>')).toBe(
    'run `pgr window --json` or &#60;b&#62;ask&#60;/b&#62;',
  );
  expect(proseWithCode('``<img src=x>`')).not.toContain('``');
  expect(proseWithCode('`open <b>')).toBe('&#96;open &#60;b&#62;');
});

test('line breaks, control characters and direction overrides cannot change what is read around them', () => {
  expect(escapeMarkdown('a\r\nb\u202ec\u0007d')).toBe('a b c d');
});

test('a text of a megabyte does not push the instructions out of sight', () => {
  expect(escapeMarkdown('x'.repeat(1_000_000)).length).toBeLessThan(1_000);
});

test('a code span stays closed whatever is inside', () => {
  expect(codeSpan('a`b``c')).toBe('```a`b``c```');
  expect(codeSpan('`x`')).toBe('`` `x` ``');
  expect(codeBlock('json', '```')).toBe('````json\n```\n````');
});
