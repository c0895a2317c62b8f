/** Now in UTC. In a workflow `Date` is the time of the current workflow task, the same on every replay. */
export function nowIso(): string {
  return new Date(Date.now()).toISOString();
}

/** Whole and parts of seconds between two ISO times. */
export function secondsSince(fromIso: string, toIso: string): number {
  return (Date.parse(toIso) - Date.parse(fromIso)) / 1000;
}
