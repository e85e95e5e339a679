#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tree.sh asan|tsan|cover|zoo|fuzz: compile the tree build-<kind>, and of it what its users run:
# `make asan`, `make zoo` and so on.
set -euo pipefail
cd "$(dirname "$0")/.."

debug=-DCMAKE_BUILD_TYPE=Debug
clang="$debug -DCMAKE_C_COMPILER=${SANITIZE_CC:-clang}"
case ${1:-} in
asan)
    flags="$clang -DOAK_SANITIZE=address,undefined"
    targets=(all oak_tests)
    ;;
tsan)
    flags="$clang -DOAK_SANITIZE=thread"
    targets=(all oak_tests)
    ;;
cover)
    # Warnings are the other trees' business: at -O0 the compiler guesses differently.
    flags="$debug -DOAK_COVER=ON -DOAK_WERROR=OFF"
    targets=(oakum oak_tests_raft oak_tests_wal oak_tests_snap)
    ;;
zoo)
    flags=-DOAK_ZOO=ON
    targets=(oakum)
    ;;
fuzz)
    flags="$clang -DOAK_FUZZ=ON"
    targets=(oak_fuzzers)
    ;;
*)
    echo "usage: tools/tree.sh asan|tsan|cover|zoo|fuzz" >&2
    exit 2
    ;;
esac
# One at a time: .ci/run compiles trees ahead of those who ask for them.
mkdir -p "build-$1"
exec 9>"build-$1/lock"
flock 9
OAK_CMAKE=$flags OAK_ALL= exec tools/build.sh "build-$1" "${targets[@]}"
