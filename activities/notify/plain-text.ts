import type { Message } from './channel.js';

/** A notice as plain text: facts, commands, link. The title is not part of it. */
export function plainText({ text, link, unsure }: Message): string {
  return [
    ...text.lines,
    ...(text.commands.length === 0 ? [] : ['', ...text.commands.map((command) => `  ${command}`)]),
    ...(link === null ? [] : ['', link]),
    ...(unsure > 0 ? ['', '(may have been sent before)'] : []),
  ].join('\n');
}
