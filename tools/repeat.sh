#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# repeat.sh [asan|tsan] TEST COPIES ROUNDS: run one test (tests/test_chaos.py::test_name, or words
# for pytest's -k) very often, several copies at a time: what fails once in a hundred runs, on a
# machine that has no time for it, fails here. Copies that fail are kept whole, output, data and the
# members' logs, in <build>/repeat; the others are not. More copies than processors are the load.
# Ends with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${BUILD:-build}
case ${1:-} in
asan | tsan)
    dir=build-$1
    reports=$PWD/$dir/repeat
    # shellcheck source=tools/sanitizers.sh
    . tools/sanitizers.sh "$1"
    shift
    ;;
esac
if [ $# -ne 3 ] || [ -z "$1" ] || [[ ! $2$3 =~ ^[0-9]+$ ]] || [ "$2" -gt 8 ]; then
    echo "usage: tools/repeat.sh [asan|tsan] TEST COPIES ROUNDS, of at most 8 copies at a time" >&2
    exit 2
fi
what=(tests -k "$1")
[[ $1 != tests/* ]] || what=("$1")
export OAKUM_BIN=$PWD/$dir/bin/oakum
export OAKUM_ETCD=${OAKUM_ETCD:-$PWD/build/peers/etcd/usr/bin/etcd}
kept=$PWD/$dir/repeat
rm -rf "$kept"
mkdir -p "$kept"

copy() {
    local at=$kept/$1
    mkdir "$at"
    if tools/pytest.sh --basetemp "$at/data" "${what[@]}" >"$at/log" 2>&1; then
        rm -r "$at"
    else
        echo "failed: $at/log"
    fi
}

for ((round = 1; round <= $3; round++)); do
    for ((each = 1; each <= $2; each++)); do
        copy "$round-$each" &
    done
    wait
    echo "round $round of $3: $((round * $2)) runs, $(find "$kept" -name log | wc -l) failed"
done
failed=$(find "$kept" -name log | wc -l)
reported=$(find "$kept" -maxdepth 1 -name 'report.*' -size +0 | wc -l)
if [ "$reported" -gt 0 ]; then
    find "$kept" -maxdepth 1 -name 'report.*' -size +0 -exec head -n 60 {} +
    echo "$reported reports of the sanitizer, whole in $kept"
fi
echo "$(($2 * $3 - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$reported" -eq 0 ]
