/**
 * Loads the tables and builds what stands on them, with several sessions at once: a table as soon as a session is free, largest first; an index as soon
 * as its table is there. Each of them is one transaction together with the note that it is done.
 */
import type pg from 'pg';

import { faultPoint } from '../../lib/fault-points.js';
import { openArchive, type Archive } from './archive.js';
import { contentOf, type Content } from './content.js';
import { loadTable, restoreLargeObjects } from './load-table.js';
import { inSessions, type Outcome, type Phase } from './phase.js';
import { postTasks } from './post-tasks.js';
import { createMeter, type Meter } from './meter.js';
import { runTasks, type Task } from './schedule.js';
import { only } from './schema-phase.js';
import { applyFastSettings, putBackSettings } from './server-settings.js';
import { changeState, markDone, readDone, readProblems } from './state.js';
import { loadWhole } from './whole.js';

const FAULT_TABLE_DONE = 'restore-dev:table-done';
const FAULT_LOADED = 'restore-dev:loaded';

export async function loadPhase(phase: Phase): Promise<Outcome> {
  const { plan, maintenance, spec } = phase;
  if (plan.fastSettings) await applyFastSettings(maintenance, spec.journal);
  try {
    return phase.file.whole ? await loadWhole(phase) : await loadArchive(phase);
  } finally {
    await putBackSettings(maintenance, spec.journal);
  }
}

async function loadArchive(phase: Phase): Promise<Outcome> {
  const { plan, file, names } = phase;
  const archive = await openArchive(file.path);
  try {
    const content = contentOf(archive.toc, { deferred: plan.mode === 'fast' ? plan.deferred : [] });
    return await inSessions(phase, names.next, plan.jobs, async (clients) => {
      const first = only(clients[0]);
      const done = await readDone(first);
      const meter = createMeter(phase.progress, content, archive, done);
      const tasks = [
        ...tableTasks({ phase, archive, content, meter }),
        ...otherData(phase, content),
        ...postTasks(content, archive, meter, plan.mode === 'full'),
      ].filter(({ key }) => !done.has(key));
      await runTasks(tasks, clients);
      const deferred = content.tables.filter((table) => table.deferred).map(({ table }) => table);
      await changeState(first, { deferred });
      faultPoint(FAULT_LOADED);
      return { ...meter.outcome(), deferred, problems: await readProblems(first) };
    });
  } finally {
    await archive.close();
  }
}

type Load = { phase: Phase; archive: Archive; content: Content; meter: Meter };

function tableTasks({ archive, content, meter }: Load): Task<pg.Client>[] {
  return content.tables
    .filter(({ deferred }) => !deferred)
    .map((table) => {
      const key = `data:${String(table.entry.id)}`;
      const bytes = archive.bytesOf(table.entry.id);
      return {
        key,
        after: [],
        // Rows come before everything else that is ready.
        weight: bytes * 2 + 1,
        locks: table.viaRoot || table.tableId === null ? [] : [table.tableId],
        exclusive: !table.viaRoot,
        run: async (client) => {
          await loadTable(client, { archive, table, encoding: content.encoding, meter, key });
          meter.tableDone(key, bytes);
          faultPoint(FAULT_TABLE_DONE);
        },
      };
    });
}

function otherData({ file, spec, server, names }: Phase, { sequences, largeObjects }: Content): Task<pg.Client>[] {
  const shared = { after: [], weight: 0, locks: [], exclusive: false };
  const tasks: Task<pg.Client>[] = [
    {
      ...shared,
      key: 'sequences',
      run: async (client) => {
        for (const { sql } of sequences) await client.query(sql);
        await markDone(client, 'sequences');
      },
    },
  ];
  if (largeObjects.length > 0) {
    tasks.push({
      ...shared,
      key: 'large-objects',
      run: (client) =>
        restoreLargeObjects(client, {
          binDir: spec.binDir,
          file: file.path,
          ids: largeObjects,
          server,
          database: names.next,
        }),
    });
  }
  return tasks;
}
