#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fresh.sh: what a newcomer sees. A bare Debian 12 in build/fresh, into which only make and git are
# installed; a clone of HEAD; then the two commands of the README, as they stand there. Needs root.
#
# The base system comes from the mirror that this machine uses, and is kept in build/fresh-base.tar.
# Everything runs in namespaces of its own, so that mounts and left-over processes end with it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
    echo "fresh: needs root and debootstrap (apt-get install debootstrap)" >&2
    exit 1
fi
if [ "${1:-}" != inside ]; then
    exec unshare --mount --pid --fork --kill-child "$0" inside
fi

mkdir -p build
suite=bookworm
top=$PWD
root=$top/build/fresh
base=$top/build/fresh-base.tar
seconds=${FRESH_SECONDS:-1200} # for each of the two commands

unmount() {
    for at in "$root/dev/shm" "$root/dev/pts" "$root/dev" "$root/proc"; do
        umount -l "$at" 2>/dev/null || true
    done
}
trap unmount EXIT
mount --make-rprivate /

# "uri codename component" of this machine's Debian archives.
sources() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)' \
        'Created-By: Packages' | sed -n "s/ Debian$//p" | grep " $suite" | sort -u
}

if [ ! -f "$base" ]; then
    mirror=$(sources | sed -n "s/ $suite main$//p" | head -n 1)
    echo "fresh: bootstrapping $suite"
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" \
        >"$base.log" 2>&1 || {
        tail -n 20 "$base.log" >&2
        exit 1
    }
    sources | sed 's/^/deb /' >"$root/etc/apt/sources.list"
    apt-config dump | sed -nE '/^Acquire::(http|https|Check)/p' \
        >"$root/etc/apt/apt.conf.d/90machine"
    tar -C "$root" --one-file-system -cf "$base.new" .
    mv "$base.new" "$base"
fi

rm -rf --one-file-system "$root"
mkdir -p "$root"
tar -C "$root" -xf "$base"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
git clone -q --no-local "$top" "$root/srv/oakum"

inside() {
    timeout --kill-after=10 "$seconds" chroot "$root" /usr/bin/env -i HOME=/srv TERM=dumb \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        bash -c "$1" </dev/null
}

echo "fresh: installing make and git, all that the newcomer has"
inside 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends make git >/dev/null'
verdict=PASS
for command in 'make run' 'make test'; do
    printf '\nfresh: $ %s\n' "$command"
    begin=$SECONDS
    if inside "cd /srv/oakum && $command"; then
        echo "fresh: $command took $((SECONDS - begin)) s"
    else
        echo "fresh: $command failed after $((SECONDS - begin)) s"
        verdict=FAIL
    fi
done
echo "fresh: $verdict"
[ "$verdict" = PASS ]
