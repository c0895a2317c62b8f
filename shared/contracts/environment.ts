/** What a workflow may know of an environment. No secret, no URL with a password: this goes into history. */
export type GatePolicy = {
  /** How many different people must approve. */
  required: number;
  /** Who may decide; empty means everybody. */
  from: string[];
  /** The person who asked for the run may not approve it. */
  notRequester: boolean;
  expiresInSeconds: number;
  remindEverySeconds: number;
  /** `signed`: only decisions with a valid SSH signature over the code count. */
  identity: 'declared' | 'signed';
};

type NodeFacts = { name: string; host: string };

export type AppFacts = { name: string; host: string };

export type EnvironmentFacts = {
  environment: string;
  nodes: NodeFacts[];
  apps: AppFacts[];
  sandboxHost: string;
  sandboxTtlSeconds: number;
  /** Host of the container of the backup controller, when the config has one. */
  controllerHost?: string;
  /** By gate name; a gate without an entry uses `defaultPolicy`. */
  approvals: Record<string, GatePolicy>;
  defaultPolicy: GatePolicy;
  /** Base URL of the Temporal Web UI and the namespace, for links; null when the config names none. */
  ui: string | null;
  namespace: string;
};
