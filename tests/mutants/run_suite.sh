#!/bin/sh
# A mutant must be caught: the suite of tests passes, and fails when it is linked with the mistake.
#   sh run_suite.sh SUITE MUTANT
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$1" >"$log" 2>&1 || { cat "$log"; echo "mutant test: the suite itself fails"; exit 1; }
status=0
"$2" >"$log" 2>&1 || status=$?
if [ "$status" != 1 ]; then
    cat "$log"
    echo "mutant test: not caught (exit $status, 1 expected)"
    exit 1
fi
grep -E '^[0-9]+%|:F:' "$log"
