#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cover.sh: which lines of raft, wal and snap do the unit tests and the simulator run? Prints them
# by file; fails under 95 %, and for a line that docs/internals/coverage.md does not excuse.
#
# The seeds are fixed, so that two runs of one commit say the same.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=build-cover
tools/tree.sh cover
find "$dir" -name '*.gcda' -delete
ctest --test-dir "$dir" -R '^(raft|wal|snap)/' -j "${JOBS:-2}" --output-on-failure
"$dir/bin/oakum" sim --seed 1 --seeds 100
python3 tools/cover.py "$dir"
