#!/bin/sh
# Before the tests: dependencies and the built programs must be there, as a fresh clone has neither.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
exec "$root/bin/pgr" --version >/dev/null
