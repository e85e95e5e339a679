#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh DIR [TARGET ...]: configure DIR and build everything, and the targets named beside it.
# OAK_CMAKE has further arguments for CMake; OAK_ALL= leaves it at the targets that are named. The
# main build also gets the link bin/oakum.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1
shift
read -ra extra <<<"${OAK_CMAKE:-}"
[ -e "$dir/build.ninja" ] || echo "build: compiling into $dir; the first time takes a minute or two"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -G Ninja -B "$dir" -S . "${extra[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    echo "build: CMake stopped; the first error above says why" >&2
    exit 1
fi
ninja -C "$dir" ${JOBS:+-j "$JOBS"} --quiet ${OAK_ALL-all} "$@" 2>&1 |
    sed '/^ninja: no work to do\.$/d'
if [ "$dir" = build ] && [ -x build/bin/oakum ]; then
    mkdir -p bin
    ln -sfn ../build/bin/oakum bin/oakum
fi
