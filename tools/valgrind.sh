#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# valgrind.sh DIR: the C client under valgrind: its unit tests, the programs of its driven tests
# against Oakum, and its examples, built from the installed library. A read of what was never
# written, one past an end, or memory that is not given back fails the test in which it happens.
#
# The tests in which each allocation fails have an allocator of their own, which valgrind can't see.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1
kinds=definite,indirect,possible
under="valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=$kinds"
under+=" --errors-for-leak-kinds=$kinds"
passed=0
failed=0
for test in "$dir"/src/client/test_client_* "$dir"/src/sync/test_sync_*; do
    [[ $test != *memory && $test != *builder ]] || continue
    if $under "$test" >"$dir/valgrind.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cat "$dir/valgrind.log"
        echo "failed: $test"
    fi
done

export OAKUM_BIN=$PWD/$dir/bin/oakum OAK_UNDER=$under
python=/usr/bin/python3
[ -x "$python" ] || python=python3
rc=0
words="(c_client and oakum and not etcdctl)"
words+=" or lose_nothing or candidates_take_turns or follows_a_key or guide_says_hello"
driven=("$python" -B -m pytest -q -p no:cacheprovider -k "$words"
        --junitxml="$dir/valgrind.xml" tests/test_c_client.py tests/test_c_client_sync.py
        tests/test_library.py)
if "$python" -c 'import xdist' 2>/dev/null; then
    driven+=(-n "${JOBS:-2}" --dist loadfile)
fi
"${driven[@]}" || rc=$?
read -r tests bad < <("$python" - "$dir/valgrind.xml" <<'END'
import sys
import xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot().find("testsuite").attrib
bad = int(suite["failures"]) + int(suite["errors"])
print(int(suite["tests"]) - bad - int(suite["skipped"]), bad)
END
)
passed=$((passed + tests))
failed=$((failed + bad))
[ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
