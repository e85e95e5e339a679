#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh DIR: run the unit tests of a build (CTest) and the tests that drive its program (pytest).
#
# T filters both: a regular expression for CTest, words for pytest. UNIT_NOT says what CTest leaves
# out, and DRIVEN is an expression of pytest's -k for use without T.
# Ends with "N passed, N failed" over everything. A skipped test is named, and with STRICT=1 it
# counts as failed.
# WORKERS says how many files of pytest run at one time, LIMIT how long a test may take (pytest.sh).
# The tests find the program in OAKUM_BIN and etcd in OAKUM_ETCD.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1
filter=${T:-}
export OAKUM_BIN=$PWD/$dir/bin/oakum
export OAKUM_ETCD=${OAKUM_ETCD:-$PWD/build/peers/etcd/usr/bin/etcd}
rm -f "$dir/ctest.xml" "$dir/pytest.xml"

unit=(ctest --test-dir "$dir" -j "${JOBS:-2}" --output-on-failure --no-tests=ignore
      --output-junit ctest.xml)
[ -z "$filter" ] || unit+=(-R "$filter")
[ -z "${UNIT_NOT:-}" ] || unit+=(-E "$UNIT_NOT")
unit_rc=0
"${unit[@]}" || unit_rc=$?

driven_rc=0
if compgen -G 'tests/test_*.py' >/dev/null || compgen -G 'tests/*/test_*.py' >/dev/null; then
    # They wait more than they compute: one file more at a time than there are jobs.
    export WORKERS=${WORKERS:-$((${JOBS:-2} + 1))}
    driven=(tools/pytest.sh --junitxml="$dir/pytest.xml" tests)
    words=$(tr -c 'A-Za-z0-9_/.:\n-' ' ' <<<"$filter" | xargs)
    words=${words// / and }
    words=${words:-${DRIVEN:-}}
    [ -z "$words" ] || driven+=(-k "$words")
    "${driven[@]}" || driven_rc=$?
    # 5: the filter matches none of them.
    [ "$driven_rc" -ne 5 ] || [ -z "$filter" ] || driven_rc=0
fi
exec python3 tools/totals.py "$unit_rc" "$driven_rc" "$dir/ctest.xml" "$dir/pytest.xml"
