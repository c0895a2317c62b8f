#!/bin/sh
# From a clone with nothing installed to the end of a real recovery. Arguments: --yes, --dir DIR.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
"$root/bin/pgr" --version >/dev/null
exec node "$root/dist/lab/quickstart.js" "$@"
