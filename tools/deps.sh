#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deps.sh run|test|dev|bench ...: have the Debian packages of these groups. Installs what is missing
# with apt-get (through sudo when not root) and says so; says nothing when nothing is missing.
set -euo pipefail

# What building and running needs. docs/decisions/0001-build.md says why each is there.
run=(gcc libc6-dev make cmake ninja-build pkg-config python3-minimal protobuf-compiler
     protobuf-c-compiler libuv1-dev libnghttp2-dev zlib1g-dev libprotobuf-c-dev librocksdb-dev
     libedit-dev libhttp-parser-dev libjansson-dev libyaml-dev libssl-dev libcrypt-dev)
# What the tests drive: etcd's client, an HTTP/2 client, a TLS client and server, network
# namespaces; protobuf's own .proto files, for services that import them; a C++ compiler for the
# libraries' headers, gRPC's C++ library to talk to, and its Python library to ask with; shells
# that complete words; a reader of manual pages. etcd itself is not installed but unpacked beside
# the build: see peers.sh.
test=(libcmocka-dev libprotobuf-dev g++ libgrpc++-dev protobuf-compiler-grpc python3 python3-pytest
      python3-pytest-xdist python3-pytest-timeout python3-grpcio python3-protobuf etcd-client
      nghttp2-client openssl util-linux iproute2 curl git zsh fish man-db)
# Sanitizers, valgrind, fuzzers (with services that import protobuf's own files), the formatter.
dev=(clang libclang-rt-14-dev llvm clang-format libprotobuf-dev valgrind)
# What the Raft core is measured beside (make bench-raft); nothing of ours is linked with it.
bench=(libraft-dev)

if [ $# -eq 0 ]; then
    echo "usage: tools/deps.sh run|test|dev|bench ..." >&2
    exit 2
fi
wanted=()
for group in "$@"; do
    case $group in
    run) wanted+=("${run[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    dev) wanted+=("${dev[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    *)
        echo "deps: no group '$group': say run, test, dev or bench" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: this is not Debian. Needed, by their Debian 12 names:" >&2
    printf '  %s\n' "${wanted[@]}" >&2
    echo "deps: install their counterparts; the build says which one it misses" >&2
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $state == installed* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: missing ${missing[*]}" >&2
        echo "deps: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "deps: installing ${missing[*]}"
quiet=(-qq -o Dpkg::Use-Pty=0)
"${as_root[@]}" apt-get "${quiet[@]}" update ||
    echo "deps: the package lists could not be refreshed; going on with those that are here" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
