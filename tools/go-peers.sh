#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# go-peers.sh: have grpc-go's interop client and server, and h2spec, in build/peers/go. They come
# from the Go module proxy that this machine uses, and are made outside the tree. Where there is no
# Go, or no proxy, it says so and fails: what needs them has then not been tested.
set -euo pipefail
cd "$(dirname "$0")/.."

grpc=v1.85.0
h2spec=v2.2.1+incompatible # the newest that a proxy can serve under its module's name

dir=$PWD/build/peers/go
stamp="grpc $grpc, h2spec $h2spec"
[ "$(cat "$dir/made" 2>/dev/null || true)" != "$stamp" ] || exit 0

cannot() {
    echo "NOT TESTED: $1; neither grpc-go nor h2spec can be had" >&2
    exit 1
}
command -v go >/dev/null || cannot "there is no Go on this machine (go not in PATH)"
echo "go-peers: making grpc-go's interop programs and h2spec in build/peers/go"
rm -rf "$dir"
mkdir -p "$dir"
log=$dir/log
export GOBIN=$dir GOFLAGS=-buildvcs=false
(
    cd / && # outside of any module
        go install "google.golang.org/grpc/interop/client@$grpc" &&
        go install "google.golang.org/grpc/interop/server@$grpc" &&
        go install "github.com/summerwind/h2spec/cmd/h2spec@$h2spec"
) >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    cannot "the Go module proxy ($(go env GOPROXY)) does not serve them"
}
echo "$stamp" >"$dir/made"
