#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clients.sh go|node|python|java [fetch]: make the program of tests/clients/LANGUAGE, with a client
# of etcd that nobody here wrote, as build/peers/clients/LANGUAGE/run. The client comes from the
# language's registry. Where that, or the language, is not there, it says so and fails: the client
# has then not been tested. With `fetch` it only brings what comes from there.
set -euo pipefail
cd "$(dirname "$0")/.."

language=${1:?go, node, python or java}
source=$PWD/tests/clients/$language
dir=$PWD/build/peers/clients/$language
log=$dir/log

cannot() {
    echo "NOT TESTED: $1; etcd's clients in $language" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null || cannot "there is no $1 on this machine"
}

fetch_go() {
    local version=v3.7.3
    printf 'module peers\n\ngo 1.23\n' >go.mod
    go get "go.etcd.io/etcd/client/v3@$version" "go.etcd.io/etcd/api/v3@$version"
}

build_go() {
    go build -o run .
}

fetch_node() {
    npm install --no-audit --no-fund --no-save --omit=optional etcd3@1.1.2
}

build_node() {
    printf '#!/bin/sh\nexec node "$(dirname "$0")/main.js" "$@"\n' >run
}

fetch_python() {
    # Of etcd3's time: generated code for protobuf 3, waits as tenacity had them.
    python3 -m venv venv &&
        venv/bin/pip install --quiet etcd3==0.12.0 'protobuf<4' 'tenacity<7'
}

build_python() {
    # Wherever the tree is.
    printf '#!/bin/sh\ncd "$(dirname "$0")"\nexec venv/bin/python main.py "$@"\n' >run
}

fetch_java() {
    mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib -DincludeScope=runtime
}

build_java() {
    javac -d classes -cp 'lib/*' Main.java &&
        printf '#!/bin/sh\ncd "$(dirname "$0")"\nexec java -cp "classes:lib/*" Main "$@"\n' >run
}

case $language in
go) has go && registry="the Go module proxy" ;;
node) has node && has npm && registry="npm's registry" ;;
python) has python3 && registry="PyPI" ;;
java) has mvn && has javac && registry="Maven Central" ;;
*) cannot "no such language" ;;
esac
export GOFLAGS="-buildvcs=false -mod=mod"

# What was fetched goes by this script, what was built by the program too.
fetched=$(sha256sum <"$0")
if [ "$(cat "$dir/fetched" 2>/dev/null || true)" != "$fetched" ]; then
    echo "clients: fetching the one in $language into build/peers/clients/$language"
    rm -rf "$dir"
    mkdir -p "$dir"
    cp "$source"/* "$dir"
    (cd "$dir" && "fetch_$language") >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        cannot "$registry does not serve what it needs"
    }
    echo "$fetched" >"$dir/fetched"
fi
[ "${2:-}" != fetch ] || exit 0
built=$(cat "$0" "$source"/* | sha256sum)
if [ "$(cat "$dir/built" 2>/dev/null || true)" != "$built" ]; then
    cp "$source"/* "$dir"
    (cd "$dir" && "build_$language")
    chmod +x "$dir/run"
    echo "$built" >"$dir/built"
fi
