/** Process that runs one activity of restore-controller and may be killed in it. Arguments: config file, name of the activity, its input. */
import { createControllerActivities } from '../../activities/backup-store/databasus-controller/index.js';
import { controllerDeps } from './controller-scene.js';

async function main(): Promise<void> {
  const [, , configFile = '', name = '', input = ''] = process.argv;
  const activities = createControllerActivities(await controllerDeps(configFile));
  const activity = activities[name as keyof typeof activities] as (input: unknown) => Promise<unknown>;
  process.stdout.write(`${JSON.stringify(await activity(JSON.parse(input)))}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
