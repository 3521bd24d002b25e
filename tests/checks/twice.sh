#!/bin/sh
# No name that files share is defined by both of two static libraries: a program that links both would get one of them,
# whichever comes first, for both.
#   sh twice.sh STATIC STATIC
set -eu
export LC_ALL=C
names() { nm --extern-only --defined-only "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
names "$1" >"$work/first"
names "$2" >"$work/second"
for list in "$work/first" "$work/second"; do
    [ -s "$list" ] || { echo "a library without a name"; exit 1; }
done
twice=$(comm -12 "$work/first" "$work/second")
[ -z "$twice" ] || { printf 'defined in both: %s\n' $twice; exit 1; }
