#!/bin/sh
# Builds and starts docker-compose.yml under a project name of its own and tries the commands of the README against it. Needs a Docker engine and
# `docker compose` (v2); honours DOCKER_HOST, BASE_IMAGE, EXTRA_CA. Takes some minutes; removes everything that it started, unless --keep.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
docker compose version >/dev/null || {
  echo 'skipped: docker compose is not installed' >&2
  exit 77
}
project=pgr-test-$$
export COMPOSE_PROJECT_NAME=$project COMPOSE_PARALLEL_LIMIT=1 PGR_NET="${PGR_NET:-10.219.77}"
export PGR_UI_PORT="${PGR_UI_PORT:-0}" PGR_WRITE_PORT="${PGR_WRITE_PORT:-0}" PGR_STATS_PORT="${PGR_STATS_PORT:-0}" PGR_POOLER_PORT="${PGR_POOLER_PORT:-0}"

ended() {
  status=$?
  trap - EXIT INT TERM
  if [ "$status" != 0 ]; then docker compose logs --no-color --tail 40 >&2 || true; fi
  if [ "${1:-}" != --keep ]; then docker compose down --volumes --timeout 60 >/dev/null 2>&1 || true; fi
  exit "$status"
}
trap 'ended "$@"' EXIT
trap 'exit 130' INT TERM

step() { printf '== %s (%s)\n' "$*" "$(date -u +%H:%M:%S)"; }
pgr() { docker compose exec -T orchestrator pgr "$@"; }
# expect TEXT COMMAND...: the command exits 0 and prints TEXT.
expect() {
  wanted=$1
  shift
  step "$*"
  said=$("$@")
  case $said in
    *"$wanted"*) ;;
    *)
      printf 'expected: %s\nprinted: %s\n' "$wanted" "$said" >&2
      exit 1
      ;;
  esac
}
# waiting COMMAND...: the run waits at its gate (exit code 7); prints its JSON.
waiting() {
  code=0
  said=$("$@") || code=$?
  [ "$code" = 7 ] || {
    printf 'exit code %s instead of 7: %s\n' "$code" "$said" >&2
    exit 1
  }
  printf '%s' "$said"
}
field() { node -e 'const path = process.argv[1].split("."); let v = JSON.parse(require("fs").readFileSync(0, "utf8")); for (const p of path) v = v?.[p]; process.stdout.write(String(v ?? ""))' "$1"; }

step build && docker compose build
step up && docker compose up --detach --no-build --wait
expect '"owner":"dallas"' pgr topology compose --json
expect '"bases":[{' pgr window compose --json
expect '' pgr check compose
expect '"completed"' pgr pitr compose --to latest --reason 'a try' --wait=5m --json

step 'flip-db: gate, approval, chicago takes the writes'
run=$(waiting pgr flip-db compose --reason 'a try' --wait=2m --json)
pgr approve "$(printf '%s' "$run" | field run)" flip --code "$(printf '%s' "$run" | field gate.code)" --by compose-test >/dev/null
deadline=$(($(date +%s) + 120))
until pgr topology compose --json | grep -q '"owner":"chicago"'; do
  [ "$(date +%s)" -lt "$deadline" ] || exit 1
  sleep 1
done
step done
