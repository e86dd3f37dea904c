#!/bin/bash
# Starts a workflow server, runs a suite of ecFlow's tutorial and a flow of Takler's, and ends.
#
#   run.sh [FOLDER]    FOLDER gets the scripts, the jobs and their output; default: a new one
set -euo pipefail
example=$(cd "$(dirname "$0")" && pwd)

# TCE_FLOW_BIN: a folder with the programs, if they are built already.
bin=${TCE_FLOW_BIN:-}
if [ -z "$bin" ]; then
  cargo build --quiet --manifest-path "$example/../../Cargo.toml" -p tce-flow
  bin=$(cd "$example/../.." && pwd)/target/debug
fi
export PATH="$bin:$PATH"

home=${1:-$(mktemp -d)}
mkdir -p "$home"
home=$(cd "$home" && pwd)
cp -r "$example/scripts/." "$home"

# The server, on a port that is free.
tce-flow serve "$home" --listen tcp://127.0.0.1:0 > "$home/server.out" &
server=$!
trap 'kill "$server"; wait "$server" || true' EXIT
for _ in $(seq 100); do
  port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$home/server.out")
  [ -n "$port" ] && break
  sleep 0.1
done
export ECF_HOST=localhost ECF_PORT=$port TAKLER_HOST=localhost TAKLER_PORT=$port

ecflow_client --ping
takler_client ping

ecflow_client --load="$home/test.def"
ecflow_client --begin=test
ecflow_client --load="$home/takler.def"
takler_client requeue /takler

for suite in /test /takler; do
  for _ in $(seq 600); do
    state=$(ecflow_client --query state "$suite")
    [ "$state" = complete ] && break
    if [ "$state" = aborted ]; then
      ecflow_client --why="$suite"
      exit 1
    fi
    sleep 0.1
  done
done

ecflow_client --get_state | grep -E '^ *(suite|family|task|meter|event|label) '
echo "jobs and their output are in $home"
[ "$state" = complete ]
