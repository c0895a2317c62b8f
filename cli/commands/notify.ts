import type { Command } from 'commander';

import type { ChannelTest, NotifyTestInput, NotifyTestResult } from '../../shared/contracts/notices.js';
import type { CliContext } from '../context.js';
import { actorOf } from '../parse.js';
import { readThroughWorkflow } from '../read-through-workflow.js';
import { createStyle, type Style } from '../render/style.js';
import { count, oneLine } from '../render/text.js';
import { withActor, withExample, type ActorFlags } from './options.js';

const EXIT_FAILED = 1;

type TestFlags = ActorFlags & { channel?: string };

/** `pgr notify test`. */
export function registerNotify(program: Command, context: CliContext): void {
  const group = program.command('notify').description('the channels that tell people');
  const test = group
    .command('test <env>')
    .description('one test message through each channel, as notices go; exit 1 when one did not get through')
    .option('--channel <name>', 'only this channel of the config');
  withExample(withActor(test), 'pgr notify test production', 'pgr notify test production --channel ops').action(
    async (env: string, flags: TestFlags) => testChannels(context, env, flags),
  );
}

async function testChannels(context: CliContext, env: string, flags: TestFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const input: NotifyTestInput = { environment: env, channel: flags.channel ?? null, requestedBy };
  const { channels } = (await readThroughWorkflow(context, 'notifyTest', env, input)) as NotifyTestResult;
  const failed = channels.filter(({ outcome }) => outcome === 'failed').length;
  if (failed > 0) context.exit(EXIT_FAILED);
  context.result({ environment: env, ok: failed === 0, channels }, () =>
    [
      ...channels.map((one) => lineOf(one, createStyle(context.io, context.env))),
      failed === 0
        ? `${env}: ${count(channels.length, 'channel')}, all delivered`
        : `${env}: ${String(failed)} of ${count(channels.length, 'channel')} failed`,
      '',
    ].join('\n'),
  );
}

function lineOf({ channel, outcome, why }: ChannelTest, style: Style): string {
  const more = why === null ? '' : outcome === 'failed' ? `: ${oneLine(why)}` : ` (${oneLine(why)})`;
  return ` ${style.check(outcome === 'delivered')} ${channel}: ${outcome}${more}`;
}
