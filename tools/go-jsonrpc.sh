#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# go-jsonrpc.sh: make Go's client of JSON-RPC, tests/go/main.go, as build/peers/jsonrpc-client. It
# needs Go alone, no module of others. Where there is no Go it says so and fails: what needs the
# client has then not been tested.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$PWD/build/peers/jsonrpc-client
command -v go >/dev/null || {
    echo "NOT TESTED: there is no Go on this machine (go not in PATH); Go's net/rpc/jsonrpc" >&2
    exit 1
}
[ ! "$program" -nt tests/go/main.go ] || exit 0
mkdir -p build/peers
GOFLAGS=-buildvcs=false GOTOOLCHAIN=local go build -o "$program" tests/go/main.go
