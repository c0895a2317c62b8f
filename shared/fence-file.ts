/**
 * The fence marker of a node: while it is there, pg-health does not call the node primary, whatever its server says. A file and not a state in
 * memory, so that a restart of pg-health, of the worker or of the host changes nothing.
 */

export type FenceMarker = {
  api: 1;
  environment: string;
  node: string;
  /** Workflow id and run id of who fenced it. */
  run: string;
  runId: string;
  why: string;
  /** UTC, RFC 3339. */
  at: string;
};

/** `<stateDir>/fences/<environment>-<node>.json`. Two pairs of names may give one path (`a-b`, `c` and `a`, `b-c`): the content says whose it is. */
export function fenceFileFor(stateDir: string, environment: string, node: string): string {
  return `${fenceDirFor(stateDir)}/${environment}-${node}.json`;
}

/** Directory of the fence markers. */
export function fenceDirFor(stateDir: string): string {
  return `${stateDir.replace(/\/+$/, '')}/fences`;
}

/** The marker of a file's text; null for anything else, which readers must not take for "not fenced". */
export function parseFenceMarker(text: string): FenceMarker | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const fields = value as Record<string, unknown>;
  if (fields['api'] !== 1) return null;
  const names = ['environment', 'node', 'run', 'runId', 'why', 'at'];
  return names.every((name) => typeof fields[name] === 'string') ? (value as FenceMarker) : null;
}

/** True when the marker is this node's. */
export function isFenceOf(marker: FenceMarker, environment: string, node: string): boolean {
  return marker.environment === environment && marker.node === node;
}
