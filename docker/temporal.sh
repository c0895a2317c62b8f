#!/bin/sh
# Temporal's development server with a database file, so that runs survive its restart. For production use a Temporal cluster or Temporal Cloud.
set -eu
retention() {
  until temporal operator namespace update --namespace default --retention 90d >/dev/null 2>&1; do sleep 1; done
}
retention &
set --
for name in PgrEnvironment PgrRunbook PgrStep PgrStatus PgrTarget; do set -- "$@" --search-attribute "$name=Keyword"; done
exec temporal server start-dev --ip 0.0.0.0 --port 7233 --ui-port 8233 --db-filename /var/lib/temporal/temporal.db --log-level warn --ui-disable-news-fetch "$@"
