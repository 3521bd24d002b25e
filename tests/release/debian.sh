#!/bin/sh
# The README's two commands in a new Debian root, as a stranger meets them: debootstrap makes the root, a clone of HEAD
# goes into it, nothing else does. Needs root, debootstrap and some 6 GiB; takes half an hour for "test".
#
#   sh tests/release/debian.sh bookworm|trixie FOLDER [bench|test|both]
#
# FOLDER is where the root is made and where it stays, to be looked at; made anew each time. Packages come from the mirror
# that this machine's apt uses (or DEBIAN_MIRROR). The last lines say how long each command took. Exit status: that of the
# first command that failed.
set -eu

suite=${1:?suite, as bookworm or trixie} folder=${2:?folder for the root} commands=${3:-both}
source=$(cd "$(dirname "$0")/../.." && pwd)

say() { printf '\n== %s: %s\n' "$suite" "$*"; }

mirror_of_apt() {
    # shellcheck disable=SC2016 # apt-get reads it, not the shell
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1
}

unmount() {
    for place in dev/pts dev/shm dev sys proc; do
        ! mountpoint -q "$folder/$place" || umount "$folder/$place"
    done
}

# This machine's name resolution and certificates: without them a network behind a proxy is not reached.
bring_network() {
    cp /etc/resolv.conf /etc/hosts "$folder/etc/"
    mkdir -p "$folder/usr/local/share/ca-certificates" "$folder/etc/ssl/certs"
    cp -r /usr/local/share/ca-certificates/. "$folder/usr/local/share/ca-certificates/" 2>/dev/null || true
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/" 2>/dev/null || true
}

make_root() {
    unmount
    rm -rf --one-file-system "$folder"
    mkdir -p "$folder"
    debootstrap --variant=minbase "$suite" "$folder" "${DEBIAN_MIRROR:-$(mirror_of_apt)}" >"$folder.log" 2>&1 ||
        { tail -n 20 "$folder.log" >&2; exit 1; }
    rm -f "$folder.log"
    bring_network
    for place in proc sys dev dev/shm dev/pts; do
        mount --bind "/$place" "$folder/$place"
    done
    git clone -q --no-hardlinks "$source" "$folder/root/clattn"
}

# quickstart WORD...: the command in the root, as root, with an environment of its own.
quickstart() {
    begin=$(date +%s)
    chroot "$folder" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin PIP_CERT="${PIP_CERT:-}" CI="${CI:-}" \
        sh -c 'cd /root/clattn && exec sh cmake/quickstart.sh "$@"' sh "$@"
    times="$times
$suite $(cat "$folder/etc/debian_version"): quickstart.sh $1: $(($(date +%s) - begin)) s"
}

[ "$(id -u)" = 0 ] || { echo "skipped: a root of its own is made by root only"; exit 77; }
command -v debootstrap >/dev/null || { echo "skipped: debootstrap is not installed"; exit 77; }

times=
trap unmount EXIT
say "making the root $folder"
make_root
case "$commands" in
bench | both)
    say "quickstart.sh bench, short"
    quickstart bench query_length=128..512 --rounds 3
    ;;
esac
case "$commands" in
test | both)
    say "quickstart.sh test"
    quickstart test
    ;;
esac
printf '%s\n' "$times"
