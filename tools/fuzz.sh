#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS: run every libFuzzer program (F: only those whose name matches) for so long each,
# JOBS at a time (as many as there are processors, if not set).
#
# Corpora grow in build-fuzz/corpus, from the seeds in tests/corpus/<room>_<name> where there are
# any. A finding is kept in build-fuzz/findings and printed with the command that replays it.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=build-fuzz

# fuzz.sh one SECONDS PROGRAM: tells in one piece, when it is through.
if [ "$1" = one ]; then
    seconds=$2
    program=$3
    name=$(basename "$program")
    name=${name#fuzz_}
    corpus=$dir/corpus/$name
    mkdir -p "$corpus"
    inputs=("$corpus")
    [ ! -d "tests/corpus/$name" ] || inputs+=("tests/corpus/$name")
    if "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=10 \
        -detect_leaks=1 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$dir/findings/$name-" "${inputs[@]}" >"$dir/$name.log" 2>&1; then
        count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$name.log")
        echo "fuzz: $name for $seconds s: ${count:-?} inputs, none of them a finding"
        exit 0
    fi
    finding=$(grep -o "$dir/findings/$name-[a-z-]*[0-9a-f]*" "$dir/$name.log" | tail -n 1)
    told="$(tail -n 40 "$dir/$name.log")"$'\n'"fuzz: $name FAILED; its output is in $dir/$name.log"
    [ -z "$finding" ] || told+=$'\n'"fuzz: replay with: $program $finding"
    echo "$told"
    exit 1
fi

seconds=$1
tools/tree.sh fuzz
programs=$(find "$dir/src" -type f -name "fuzz_*" -executable | sort |
    grep -E "/fuzz_[^/]*(${F:-.})[^/]*$" || true)
if [ -z "$programs" ]; then
    echo "fuzz: no fuzzer's name matches '${F:-}'" >&2
    exit 1
fi
mkdir -p "$dir/findings"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
xargs -P "${JOBS:-$(nproc)}" -I '{}' tools/fuzz.sh one "$seconds" '{}' <<<"$programs" |
    tee "$log" || true
total=$(wc -l <<<"$programs")
passed=$(grep -c ': [0-9?]* inputs, none of them a finding$' "$log" || true)
echo "$passed passed, $((total - passed)) failed"
[ "$passed" -eq "$total" ]
