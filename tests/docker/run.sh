#!/bin/sh
# `make test-docker`: the end-to-end suite on the containers, then the whole compose file as a user types it.
# Where no engine answers, one is installed and seeded for the time of the test (engine.sh).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$(dirname -- "$here")")
cd "$tree"
compose_up=

finish() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$compose_up" ] || compose logs --tail 20 || true
    [ -z "$compose_up" ] || compose down --volumes --timeout 5 >/dev/null 2>&1 || true
    [ "${KEEP_ENGINE:-}" ] || "$here/engine.sh" stop
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

compose() {
    docker compose --progress quiet --file docker/compose.yaml ${LAB_COMPOSE_OVERRIDE:+--file "$LAB_COMPOSE_OVERRIDE"} "$@"
}

"$here/engine.sh" start
eval "$("$here/engine.sh" env)"

echo "== docker compose up: every service healthy, connector in service"
compose_up=yes
compose build --quiet
compose up --detach --wait --wait-timeout 180
"$tree/.venv/bin/python" "$here/check_compose.py" docker/compose.yaml ${LAB_COMPOSE_OVERRIDE:+"$LAB_COMPOSE_OVERRIDE"}
compose down --volumes --timeout 5
compose_up=

echo "== end-to-end tests on containers"
LAB=docker "$tree/.venv/bin/pytest" -q tests/e2e
