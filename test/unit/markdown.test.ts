import { codeBlock, codeSpan, escapeMarkdown, markdownTable } from '../../shared/markdown.js';

test.each([
  ['<script>alert(1)</script>', '&lt;script&gt;alert\\(1\\)&lt;/script&gt;'],
  ['[x](javascript:alert(1))', '\\[x\\]\\(javascript:alert\\(1\\)\\)'],
  ['a | b', 'a \\| b'],
  ['# heading\n- list', '\\# heading \\- list'],
  ['https://evil.example', 'https&#58;//evil.example'],
  ['1. first', '1\\. first'],
  ['**bold** `code`', '\\*\\*bold\\*\\* \\`code\\`'],
])('%j of a stranger shows as the text that it is', (text, expected) => {
  expect(escapeMarkdown(text)).toBe(expected);
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

test('a cell cannot add cells', () => {
  expect(markdownTable(['a', 'b'], [['x | y', '<b>']])).toBe('| a | b |\n| --- | --- |\n| x \\| y | &lt;b&gt; |');
});
