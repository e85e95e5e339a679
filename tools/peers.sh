#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh: have etcd to compare with, at build/peers/etcd/usr/bin/etcd. The Debian package is
# downloaded and unpacked, not installed: nothing is started, and no root is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

etcd=build/peers/etcd/usr/bin/etcd
[ ! -x "$etcd" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "peers: this is not Debian: put etcd 3.4 or later at $etcd yourself" >&2
    exit 1
fi
echo "peers: unpacking Debian's etcd-server into build/peers/etcd"
mkdir -p build/peers
rm -rf build/peers/download build/peers/unpacked
mkdir build/peers/download
# apt drops its rights to download: let it write here, or stay root where it may not.
(cd build/peers/download && apt-get -qq -o APT::Sandbox::User="$(id -un)" download etcd-server)
dpkg -x build/peers/download/etcd-server_*.deb build/peers/unpacked
rm -rf build/peers/download build/peers/etcd
mv build/peers/unpacked build/peers/etcd
