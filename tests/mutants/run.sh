#!/bin/sh
# A mutant must be caught: `clattn verify WORDS` is content with the program and exits 1 with the mutant, which prints a
# problem line; that line alone reproduces the failure with the mutant, and passes with the program.
#   sh run.sh PROGRAM MUTANT WORDS...
set -eu
program=$1
mutant=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() { cat "$log"; printf 'mutant test: %s\n' "$*"; exit 1; }

# run COMMAND...: its exit status; what it says goes to the log.
run() {
    status=0
    printf '+ %s\n' "$*" >"$log"
    "$@" >>"$log" 2>&1 || status=$?
}

run "$program" verify "$@"
if [ "$status" = 3 ] && [ "${CLATTN_REQUIRE_DEVICE:-}" != 1 ]; then
    cat "$log"
    exit 77 # nothing here serves the problem
fi
[ "$status" = 0 ] || fail "the program itself fails (exit $status)"

run "$mutant" verify "$@"
[ "$status" = 1 ] || fail "not caught (exit $status, 1 expected)"
line=$(sed 1d "$log" | grep -o -E '[a-z_0-9]+=[^ ,]+( +[a-z_0-9]+=[^ ]+)*' | grep -E 'query_length=' | head -n 1 || true)
[ -n "$line" ] || fail "caught, but no problem line is printed"

# The line is a problem; which engine and body to ask, and for which blocks, is said beside it.
engine=
while [ $# -gt 0 ]; do
    if [ "$1" = --engine ] || [ "$1" = --device ] || [ "$1" = --blocks ] || [ "$1" = --body ]; then
        engine="$engine $1 $2"
        shift
    fi
    shift
done
# shellcheck disable=SC2086 # words
run "$mutant" verify $engine $line
[ "$status" = 1 ] || fail "the line does not reproduce the failure (exit $status): $line"
# shellcheck disable=SC2086
run "$program" verify $engine $line
[ "$status" = 0 ] || fail "the line fails with the program too (exit $status): $line"
printf 'caught, and reproduced by: %s\n' "$line"
