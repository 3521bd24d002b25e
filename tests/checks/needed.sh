#!/bin/sh
# A library needs the libraries that are allowed, and nothing else, so that it can be put into any program.
#   sh needed.sh LIBRARY ALLOWED...        ALLOWED: names without version, such as libm.so
set -eu
library=$1
shift
export LC_ALL=C
needed=$(objdump -p "$library" | awk '$1 == "NEEDED" { print $2 }')
[ -n "$needed" ] || { echo "$library: needs nothing, not even the C library"; exit 1; }
failed=0
for name in $needed; do
    found=no
    for allowed in libc.so libm.so libpthread.so "$@"; do
        case $name in "$allowed" | "$allowed".* | ld-linux*) found=yes ;; esac
    done
    [ "$found" = yes ] || { echo "$library needs $name, which is not allowed"; failed=1; }
done
printf '%s needs: %s\n' "$library" "$(printf '%s ' $needed)"
exit $failed
