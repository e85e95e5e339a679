#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chaos-zoo.sh SECONDS BUG: real processes that all have this deliberate bug, under faults. Passes
# when a checker catches it; the data of that run is removed.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
TMPDIR=$log build-zoo/bin/oakum chaos --seconds "$1" --bug "$2" --report build-zoo/chaos |
    tee "$log/out"
rc=${PIPESTATUS[0]}
if [ "$rc" -eq 1 ] && grep -q '^FAILED  ' "$log/out"; then
    echo "caught: $2"
    echo "1 passed, 0 failed"
    exit 0
fi
echo "NOT CAUGHT: $2 (exit code $rc)"
echo "0 passed, 1 failed"
exit 1
