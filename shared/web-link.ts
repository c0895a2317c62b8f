/** Page of an execution in the Temporal Web UI. */
export function webLink(ui: string, namespace: string, run: string, runId: string): string {
  return `${ui.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(run)}/${runId}`;
}
