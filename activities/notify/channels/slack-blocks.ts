/** A notice as Slack shows it (Block Kit). Pure. */
import type { Message } from '../channel.js';

/** Limits of Block Kit. */
const MAX_HEADER = 150;
const MAX_SECTION = 3_000;

const MARK = {
  page: ':rotating_light:',
  warning: ':warning:',
  notice: ':information_source:',
  good: ':white_check_mark:',
};

export type SlackBody = { text: string; blocks: unknown[]; unfurl_links: boolean; unfurl_media: boolean };

/** `text` is what phones and screen readers show; it is always there. */
export function slackBody({ text, link, unsure }: Message): SlackBody {
  const title = `${MARK[text.urgency]} ${escapeSlack(text.title)}`;
  const lines = text.lines.map((line) => `• ${escapeSlack(line)}`).join('\n');
  const commands = text.commands.length === 0 ? '' : `\`\`\`\n${text.commands.map(escapeSlack).join('\n')}\n\`\`\``;
  const foot = [
    ...(link === null ? [] : [`<${escapeSlack(link)}|the run in the Temporal UI>`]),
    ...(unsure > 0 ? ['may have been sent before'] : []),
  ].join(' · ');
  return {
    text: cut(title, MAX_SECTION),
    blocks: [
      section(`*${cut(title, MAX_HEADER * 2)}*`),
      ...(lines === '' ? [] : [section(lines)]),
      ...(commands === '' ? [] : [section(commands)]),
      ...(foot === '' ? [] : [{ type: 'context', elements: [{ type: 'mrkdwn', text: foot }] }]),
    ],
    unfurl_links: false,
    unfurl_media: false,
  };
}

function section(text: string): unknown {
  return { type: 'section', text: { type: 'mrkdwn', text: cut(text, MAX_SECTION) } };
}

/** The three characters that Slack gives a meaning; with them gone no `<!channel>` and no link of somebody else gets in. */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('`', "'");
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
