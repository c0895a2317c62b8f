import type { Command } from 'commander';

import type { CliContext } from '../context.js';
import { count } from '../render/text.js';
import { withExample } from './options.js';

/** `pgr config check|show|schema`. */
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
}
