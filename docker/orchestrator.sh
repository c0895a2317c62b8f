#!/bin/sh
# The orchestrator worker. Takes the first base when the store has none, so that there is something to recover from.
set -eu
export PGPASSFILE=/run/pgr-secrets/pgpass

first_base() {
  until bases=$(pgr window compose --json 2>/dev/null); do sleep 2; done
  case $bases in
    *'"bases":[]'* | *'"bases": []'*)
      echo 'orchestrator: the store has no base, taking the first one'
      until pgr take-base compose --wait >/dev/null 2>&1; do sleep 5; done
      ;;
  esac
  # Recovery reaches what is archived: push the first commits out now instead of after archive_timeout.
  until pgr window compose --json 2>/dev/null | grep -q '"lastCommit":{'; do
    psql -X -q -h haproxy -U postgres -d shop -c 'select pg_switch_wal()' >/dev/null 2>&1 || true
    sleep 3
  done
  touch /tmp/ready
  echo 'orchestrator: ready; try docker compose exec orchestrator pgr topology compose'
}

rm -f /tmp/ready
first_base &
exec pgr worker --orchestrator
