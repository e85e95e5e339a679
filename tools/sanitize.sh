#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitize.sh asan|tsan: build with the sanitizer and run all tests on that build.
#
# A report in a process whose exit nobody looks at fails the run too (sanitizers.sh). Of the unit
# tests the thread sanitizer leaves out those that have one thread (ONE_THREAD, cmake/rooms.cmake),
# and kv/twin, which holds the state machine against RocksDB. Both leave out the tests of our tools,
# in which nothing of the program runs, and those of the installed library, which is made in release
# builds alone, and of the C client those beside etcd.
set -euo pipefail
cd "$(dirname "$0")/.."

DRIVEN="not test_tidy and not test_totals and not test_harness"
DRIVEN+=" and not test_library and not test_counter and not test_track_record"
DRIVEN+=" and not needs_own_heap and not (c_client and etcd)"
# test_ctl.py runs the same lines, by a program that is under the sanitizer too; the page of JSON
# and the tour have no line that the others lack.
DRIVEN+=" and not etcd_differential and not etcd_auth and not ctl_output and not test_tour"
case $1 in
asan) ;;
tsan)
    DRIVEN+=" and not needs_rocks"
    # Requests by the hundreds, beside etcd's or for their errors, and the commands that have one
    # thread: all but those that last.
    DRIVEN+=" and not (test_ctl and not test_ctl_live) and not rpc_differential and not random_rpc"
    DRIVEN+=" and not rpc_errors and not test_migrate"
    export UNIT_NOT='^kv/twin$'
    ;;
*)
    echo "usage: tools/sanitize.sh asan|tsan" >&2
    exit 2
    ;;
esac
dir=build-$1
tools/tree.sh "$1"

reports=$PWD/$dir/reports
rm -rf "$reports"
mkdir -p "$reports"
# shellcheck source=tools/sanitizers.sh
. tools/sanitizers.sh "$1"
export DRIVEN
export WORKERS=${WORKERS:-${JOBS:-2}} # the others run beside us
# As in the unit tests: fewer of very many cases, where each costs ten times as much.
export OAKUM_DIFFER_REQUESTS=${OAKUM_DIFFER_REQUESTS:-5000}
rc=0
tools/test.sh "$dir" >"$dir/test.log" 2>&1 || rc=$?
count=$(find "$reports" -type f -size +0 | wc -l)
if [ "$count" -gt 0 ]; then
    head -n -1 "$dir/test.log"
    find "$reports" -type f -size +0 -exec head -n 60 {} +
    echo "$1: $count reports of the sanitizer, whole in $dir/reports"
    tail -n 1 "$dir/test.log"
    exit 1
fi
cat "$dir/test.log"
exit "$rc"
