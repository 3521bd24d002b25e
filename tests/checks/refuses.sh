#!/bin/sh
# Proves that a check can fail: runs a command that must fail and must say each of the texts.
#   sh refuses.sh TEXT [TEXT...] -- COMMAND...
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
texts=
while [ "$1" != -- ]; do
    texts="$texts$1
"
    shift
done
shift
if "$@" >"$log" 2>&1; then
    cat "$log"
    echo "accepted what it must refuse: $*"
    exit 1
fi
cat "$log"
printf '%s' "$texts" | while IFS= read -r text; do
    grep -q -F -e "$text" "$log" || { echo "does not say: $text"; exit 1; }
done
