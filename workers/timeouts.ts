/** A worker that is told to stop lets activities notice it: jobs go on by themselves, so a short grace is enough. */
export const SHUTDOWN_GRACE_SECONDS = 3;

/** After this the process ends although an activity does not answer; Temporal gives the activity to another worker. */
export const SHUTDOWN_FORCE_SECONDS = 10;

/** Heartbeats carry the progress that people watch: at most this old (the SDK would send them at 80 % of the timeout only). */
export const HEARTBEAT_THROTTLE = '1s';
