import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';

import type { RunView } from '../../shared/contracts/status.js';
import { runDetails } from '../../shared/run-state-details.js';
import { currentStep } from '../../shared/run-state.js';
import { oneLine, shorten } from '../../shared/markdown.js';

const keyword = (name: string) => defineSearchAttributeKey(name, 'KEYWORD');

/** Temporal refuses values above 2048 bytes, and a refused value blocks the run. */
const MAX_VALUE = 400;

/** Shows a run: the page in the Web UI always, search attributes when they changed (each change is an event of the history). */
export function createDisplay(view: RunView, title: string, target: string | null): () => void {
  const shown = new Map<string, string>();
  return () => {
    setCurrentDetails(runDetails(view, title));
    const wanted: [string, string | null][] = [
      ['PgrEnvironment', view.environment],
      ['PgrRunbook', view.runbook],
      ['PgrStep', currentStep(view)?.id ?? null],
      ['PgrStatus', view.status],
      ['PgrTarget', target],
    ];
    const changed: SearchAttributeUpdatePair[] = [];
    for (const [name, value] of wanted) {
      if (value === null || shown.get(name) === value) continue;
      shown.set(name, value);
      changed.push({ key: keyword(name), value: shorten(oneLine(value), MAX_VALUE) });
    }
    if (changed.length > 0) upsertSearchAttributes(changed);
  };
}
