import type { Command } from 'commander';

import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { count } from '../render/text.js';
import { withExample } from './options.js';

/** `pgr config check|show|schema|haproxy`. */
export function registerConfig(program: Command, context: CliContext): void {
  const config = program
    .command('config')
    .description('the configuration: which file is read, and whether it is right');
  withExample(
    config.command('check').description('read the config and report everything that is wrong with it at once'),
    'pgr config check --config recovery.yaml',
  ).action(async () => {
    const { path, config: parsed } = await context.config();
    const environments = Object.keys(parsed.environments);
    context.result({ ok: true, config: path, environments }, () => {
      return `${path}: good, ${count(environments.length, 'environment')}${environments.length === 0 ? '' : ` (${environments.join(', ')})`}\n`;
    });
  });
  withExample(
    config.command('show').description('the config as it is understood, defaults filled in; secrets stay references'),
    'pgr config show',
  ).action(async () => {
    const { path, config: parsed } = await context.config();
    const { stringify } = await import('yaml');
    context.result({ path, config: parsed }, () => `# ${path}\n${stringify(parsed)}`);
  });
  withExample(
    config.command('schema').description('the JSON schema of recovery.yaml, for editors'),
    'pgr config schema > recovery.schema.json',
  ).action(async () => {
    const { configJsonSchema } = await import('../../config/json-schema.js');
    // The schema itself, also under --json: it is a document of its own with fixed keys.
    context.io.out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  });
  registerHaproxy(config, context);
}

function registerHaproxy(config: Command, context: CliContext): void {
  withExample(
    config
      .command('haproxy')
      .description('a commented haproxy.cfg for the write VIP of an environment')
      .argument('<env>', 'environment')
      .option('--instance <name>', 'which of routing.instances (default: the first)')
      .option('--read-port <port>', 'port for reads from standbys (default: that of the write VIP plus one)'),
    'pgr config haproxy production > haproxy.cfg && haproxy -c -f haproxy.cfg',
  ).action(async (env: string, flags: { instance?: string; readPort?: string }) => {
    const { environment } = await requireEnvironment(context, env);
    const { describeHaproxy } = await import('../../config/haproxy-facts.js');
    const { haproxyCfg } = await import('../../config/haproxy-cfg.js');
    const described = describeHaproxy(env, environment, {
      ...(flags.instance === undefined ? {} : { instance: flags.instance }),
      ...(flags.readPort === undefined ? {} : { readPort: portOf(flags.readPort) }),
    });
    if ('problems' in described) {
      const facts = described.problems.map(({ path, problem }) => `${path} ${problem}`).join('; ');
      throw new PgrFailure('ConfigInvalid', `this config has no haproxy.cfg for ${env}: ${facts}`, {
        hint: 'mend what the message names; recovery.example.yaml has an environment with HAProxy',
        problems: described.problems,
      });
    }
    const text = haproxyCfg(described.file);
    context.result({ environment: env, instance: described.file.instance, haproxyCfg: text }, () => text);
  });
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new PgrFailure('BadUsage', `--read-port is ${text}, not a port`, { hint: 'use a number from 1 to 65535' });
}
