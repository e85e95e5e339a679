#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pytest.sh ARGUMENT ...: pytest, of whichever Python has it. With WORKERS so many files at a time.
# A test that takes more than LIMIT seconds (300) hangs: it has failed, and the others go on. By a
# signal: to end the worker instead makes pytest-xdist begin the same test again and again.
set -euo pipefail
cd "$(dirname "$0")/.."

for python in /usr/bin/python3 python3 ''; do
    if [ -n "$python" ] && "$python" -c 'import pytest' 2>/dev/null; then
        break
    fi
done
if [ -z "$python" ]; then
    echo "test: pytest is not installed: make deps-test" >&2
    exit 1
fi
command=("$python" -B -m pytest -q -rs -p no:cacheprovider)
if "$python" -c 'import pytest_timeout' 2>/dev/null; then
    command+=(--timeout "${LIMIT:-300}" --timeout-method signal)
fi
if [ -n "${WORKERS:-}" ] && "$python" -c 'import xdist' 2>/dev/null; then
    command+=(-n "$WORKERS" --dist loadfile)
fi
exec "${command[@]}" "$@"
