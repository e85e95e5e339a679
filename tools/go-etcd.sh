#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# go-etcd.sh: have a current etcd with its etcdctl and etcdutl in build/peers/etcd-now, made from
# the Go module proxy that this machine uses. Debian's etcd (peers.sh) is what `make test` compares
# with; this one is asked in addition. Where there is no Go, or no proxy, it says so and fails:
# nothing has then been compared with it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v3.7.3

dir=$PWD/build/peers/etcd-now
stamp="etcd $version with etcdutl"
[ "$(cat "$dir/made" 2>/dev/null || true)" != "$stamp" ] || exit 0

cannot() {
    echo "NOT TESTED: $1; a current etcd can't be had" >&2
    exit 1
}
command -v go >/dev/null || cannot "there is no Go on this machine (go not in PATH)"
echo "go-etcd: making etcd $version in build/peers/etcd-now; the first time takes minutes"
rm -rf "$dir"
mkdir -p "$dir/module"
log=$dir/log
# Its modules replace each other by folders of its own tree, so that `go install` refuses them: they
# are built as what a module of ours needs.
export GOFLAGS="-buildvcs=false -mod=mod"
(
    cd "$dir/module" &&
        printf 'module peers\n\ngo 1.23\n' >go.mod &&
        go get "go.etcd.io/etcd/server/v3@$version" "go.etcd.io/etcd/etcdctl/v3@$version" \
            "go.etcd.io/etcd/etcdutl/v3@$version" &&
        go build -o "$dir/etcd" go.etcd.io/etcd/server/v3 &&
        go build -o "$dir/etcdctl" go.etcd.io/etcd/etcdctl/v3 &&
        go build -o "$dir/etcdutl" go.etcd.io/etcd/etcdutl/v3
) >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    cannot "the Go module proxy ($(go env GOPROXY)) does not serve it"
}
rm -rf "$dir/module"
echo "$stamp" >"$dir/made"
