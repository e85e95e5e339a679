#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chaos-zoo.sh SECONDS BUG: real processes that all have this deliberate bug, under faults. Passes
# when a checker catches it. Which faults come is chance, and one short run may have none that
# brings the bug out: runs of ten seconds, each with a seed of its own, until one catches it or
# SECONDS are over. The data of the runs is removed.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
for ((left = $1, run = 1; left > 0; left -= 10, run++)); do
    TMPDIR=$log build-zoo/bin/oakum chaos --seconds $((left < 10 ? left : 10)) --bug "$2" \
        --report build-zoo/chaos | tee "$log/out"
    rc=${PIPESTATUS[0]}
    if [ "$rc" -eq 1 ] && grep -q '^FAILED  ' "$log/out"; then
        echo "caught: $2, in run $run"
        echo "1 passed, 0 failed"
        exit 0
    fi
    [ "$rc" -eq 0 ] || break # no verdict: another run would only hide why
    echo "not caught by run $run"
done
echo "NOT CAUGHT: $2 (exit code $rc)"
echo "0 passed, 1 failed"
exit 1
