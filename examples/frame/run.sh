#!/usr/bin/env bash
# Runs three agents on this machine, each with a copy of the packages in a folder of its own, until
# Ctrl-C. The broker is given by TCE_FRAME_AMQP, the program by TCE_FRAME.
set -euo pipefail
cd "$(dirname "$0")"

export TCE_FRAME_AMQP="${TCE_FRAME_AMQP:-amqp://guest:guest@127.0.0.1:5672/%2f}"
program="${TCE_FRAME:-tce-frame}"
folder="${1:-$(mktemp -d)}"
export PYTHONPATH="$PWD/../../runtimes/python/src${PYTHONPATH:+:$PYTHONPATH}"

agents=()
trap 'kill "${agents[@]}" 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM
for machine in a b c; do
    [ -e "$folder/$machine" ] || cp -r packages "$folder/$machine"
    "$program" run --conf "$folder/$machine/frame_pkg_setting.yaml" 2>"$folder/$machine.log" &
    agents+=($!)
done
printf 'three agents of the namespace test, in %s\n' "$folder"
wait
