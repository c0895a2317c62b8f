#!/bin/sh
# One database host: its PostgreSQL server, `pgr worker --host`, and pg-health. Makes the node's data on the first start. A server that a run stopped
# stays stopped: nothing here starts one again but the start of the container.
#   PGR_NODE, PGR_PEER  names of this node and of the other one
#   PGR_FIRST           yes on the node that is made first; the other one clones it
set -eu
umask 077
base=/var/lib/postgresql/18
data=$base/main
log=$base/server.log
secrets=/run/pgr-secrets
export PGPASSFILE=$secrets/pgpass
say() { echo "node $PGR_NODE: $*"; }

# ask HOST DATABASE SQL: one value; fails when the server does not answer.
ask() {
  PGCONNECT_TIMEOUT=3 psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$1" -U postgres -d "$2" -c "$3" 2>/dev/null
}

make_first() {
  initdb -D "$data.new" -U postgres --pwfile="$secrets/postgres" --auth=scram-sha-256 --data-checksums -E UTF8 --locale=C --no-instructions >/dev/null
  cp /etc/pgr/postgresql.conf /etc/pgr/pg_hba.conf "$data.new/"
  pg_ctl -D "$data.new" -l "$log" -w -s -o "-c listen_addresses='' -c archive_mode=off" start
  psql -X -q -v ON_ERROR_STOP=1 -h /tmp -U postgres -d postgres <<SQL
\set password \`cat $secrets/replicator\`
create role replicator login replication password :'password';
create database shop;
\c shop
create table orders (id bigint generated always as identity primary key, customer text not null, total numeric(12,2) not null, created_at timestamptz not null default now());
insert into orders (customer, total) select 'customer ' || i % 500, (i * 37 % 20000) / 100.0 from generate_series(1, 20000) i;
SQL
  pg_ctl -D "$data.new" -m fast -w -s stop
}

make_standby() {
  until [ "$(ask "$PGR_PEER" postgres 'select pg_is_in_recovery()')" = f ]; do
    say "waiting for $PGR_PEER to take writes before cloning it"
    sleep 1
  done
  # A clone that was interrupted left its slot.
  ask "$PGR_PEER" postgres "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${PGR_NODE}_slot' and not active" >/dev/null
  pg_basebackup -d "host=$PGR_PEER port=5432 user=replicator passfile=$PGPASSFILE application_name=$PGR_NODE" \
    -D "$data.new" -X stream -S "${PGR_NODE}_slot" --create-slot -R -c fast
}

# Data that were made once are never made again: where they are gone, a recovery is swapping them.
make_data() {
  if [ -e "$data" ] || [ -e "$base/.made" ]; then return; fi
  rm -rf "$data.new"
  if [ "${PGR_FIRST:-no}" = yes ]; then make_first; else make_standby; fi
  mv "$data.new" "$data"
  sync
  touch "$base/.made"
}

start_server() {
  if [ ! -f "$data/PG_VERSION" ]; then
    say "there is no $data: a recovery is at work on it, see pgr runs compose"
    return
  fi
  if [ -e "/var/lib/pgr/fences/compose-$PGR_NODE.json" ]; then
    say "not started: a run has fenced this node, see pgr topology compose"
    return
  fi
  if [ ! -e "$data/standby.signal" ] && [ "$(ask "$PGR_PEER" postgres 'select pg_is_in_recovery()')" = f ]; then
    say "not started: $PGR_PEER takes the writes now. Bring this node back: pgr rebuild-standby compose $PGR_NODE"
    return
  fi
  # No server of this volume outlives its container; the pid in the file belongs to somebody else by now.
  rm -f "$data/postmaster.pid"
  pg_ctl -D "$data" -l "$log" -w -s -t 600 start || say "the server did not start: $log"
}

# keep COMMAND...: runs it again whenever it ends.
keep() (
  trap 'kill "$child" 2>/dev/null; exit 0' TERM
  while :; do
    "$@" &
    child=$!
    wait "$child" || true
    sleep 1
  done
)

stop_all() {
  trap '' TERM INT
  kill "$worker" "$health" 2>/dev/null || true
  if [ -e "$data/postmaster.pid" ]; then pg_ctl -D "$data" -m fast -w -s stop || true; fi
  exit 0
}

make_data
start_server
keep pgr pg-health --node "$PGR_NODE" &
health=$!
keep pgr worker --host "$PGR_NODE" &
worker=$!
trap stop_all TERM INT
tail -n 0 -F "$log" &
while :; do wait || true; done
