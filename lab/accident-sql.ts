/** The mistakes of the lab, as people really make them. Each runs as the application's user in one transaction. */

export const ACCIDENTS = ['delete-without-where', 'truncate', 'bad-migration'] as const;
export type AccidentKind = (typeof ACCIDENTS)[number];

export type Accident = {
  /** Told to people. */
  story: string;
  /** Locks and counts what is about to be lost in tables that are emptied as a whole; null when PostgreSQL counts by itself. */
  before: string[];
  statements: string[];
  /** Tables whose rows count as lost, with the question that counts them before the mistake; empty: deletions are counted. */
  counted: string[];
};

export const ACCIDENT_SQL: Record<AccidentKind, Accident> = {
  'delete-without-where': {
    story: 'DELETE FROM orders, and the WHERE was forgotten (items and payments go with their orders)',
    before: [],
    statements: ['delete from orders'],
    counted: [],
  },
  truncate: {
    story: 'TRUNCATE orders CASCADE, on production instead of the test database',
    before: ['lock table orders, order_items, payments in access exclusive mode'],
    statements: ['truncate orders cascade'],
    counted: ['orders', 'order_items', 'payments'],
  },
  'bad-migration': {
    story: 'a migration that turns amounts into whole numbers and divides them by 100, and overwrites every status',
    before: ['lock table orders, payments in access exclusive mode'],
    statements: [
      'alter table orders alter column total type integer using (total / 100)::integer',
      'alter table payments alter column amount type integer using (amount / 100)::integer',
      "update orders set status = 'placed'",
    ],
    counted: ['orders', 'payments'],
  },
};

/** The clock of the server, UTC with microseconds. */
export const NOW_SQL = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`;

export const XID_SQL = 'select pg_current_xact_id()::text as xid';

/** Rows that this transaction has deleted so far, cascades included. */
export const DELETED_SQL =
  "select relname as table, n_tup_del::int as rows from pg_stat_xact_user_tables where n_tup_del > 0 and schemaname = 'public' order by relname";

/** Commit time of a transaction as recovery sees it (track_commit_timestamp). */
export const COMMIT_TIME_SQL = `select to_char(pg_xact_commit_timestamp($1::xid8::xid) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`;
