#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS: run every libFuzzer program (F: only those whose name matches) for so long each.
#
# Corpora grow in build-fuzz/corpus, from the seeds in tests/corpus/<room>_<name> where there are
# any. A finding is kept in build-fuzz/findings and printed with the command that replays it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
dir=build-fuzz
OAK_CMAKE="-DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DOAK_FUZZ=ON" \
    tools/build.sh "$dir" oak_fuzzers
mapfile -t programs < <(find "$dir/src" -type f -name 'fuzz_*' -executable | sort)
passed=0
failed=0
mkdir -p "$dir/findings"
for program in "${programs[@]}"; do
    name=$(basename "$program")
    name=${name#fuzz_}
    [[ $name =~ ${F:-.} ]] || continue
    corpus=$dir/corpus/$name
    mkdir -p "$corpus"
    inputs=("$corpus")
    [ ! -d "tests/corpus/$name" ] || inputs+=("tests/corpus/$name")
    echo "fuzz: $name for $seconds s"
    if "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=10 \
        -detect_leaks=1 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$dir/findings/$name-" "${inputs[@]}" >"$dir/$name.log" 2>&1; then
        grep -E 'stat::number_of_executed_units' "$dir/$name.log" || true
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 40 "$dir/$name.log"
        finding=$(grep -o "$dir/findings/$name-[a-z-]*[0-9a-f]*" "$dir/$name.log" | tail -n 1)
        echo "fuzz: $name failed; its output is in $dir/$name.log"
        [ -z "$finding" ] || echo "fuzz: replay with: $program $finding"
    fi
done
if [ $((passed + failed)) -eq 0 ]; then
    echo "fuzz: no fuzzer's name matches '${F:-}'" >&2
    exit 1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
