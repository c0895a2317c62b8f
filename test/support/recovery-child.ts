/**
 * One step of a recovery scene in a process of its own: `recovery-child SCENE-FILE ACTIVITY INPUT-AS-JSON`. ACTIVITY may also be `makeArchive`,
 * `seedAndSpoil`, `plan` or `query`. Prints `{result}` or `{failure}` as JSON. Fault points are armed by the environment.
 */
import { ApplicationFailure } from '@temporalio/common';
import { readFileSync } from 'node:fs';

import { ownerOf } from '../../activities/postgres/data-directory.js';
import { makeArchive, planFor, query, runActivity, seedAndSpoil, type Activity, type Scene } from './recovery-scene.js';

async function main(): Promise<unknown> {
  const [file = '', activity = '', json = 'null'] = process.argv.slice(2);
  const scene = JSON.parse(readFileSync(file, 'utf8')) as Scene;
  const input = JSON.parse(json) as unknown;
  if (activity === 'makeArchive') return makeArchive(scene, await ownerOf(scene.node.dataDir));
  if (activity === 'seedAndSpoil') return seedAndSpoil(scene);
  if (activity === 'plan') return planFor(scene, input as string);
  if (activity === 'query') return query(scene, input as string);
  return runActivity(scene, activity as Activity, input);
}

main().then(
  (result) => {
    process.stdout.write(JSON.stringify({ result }), () => process.exit(0));
  },
  (error: unknown) => {
    const { type, message } = error instanceof ApplicationFailure ? error : { type: 'Bug', message: String(error) };
    process.stdout.write(JSON.stringify({ failure: { type, message } }), () => process.exit(0));
  },
);
