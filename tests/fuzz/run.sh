#!/bin/sh
# Runs every fuzz harness under libFuzzer with the address and undefined-behaviour sanitizers, and shows a table.
#   sh tests/fuzz/run.sh [--seconds N] [--jobs N] [HARNESS...]
# N seconds each (60), some at once (1). HARNESS: npy, safetensors, ...; all when none is named. Builds the preset `fuzz`
# first, which needs clang with its runtime (Debian: clang and libclang-rt-dev).
# What is learnt stays in build/fuzz/corpus for the next time. An input that broke something stays in build/fuzz/found;
# build/fuzz/bin/fuzz_HARNESS FILE runs it again. Ends with 1 when anything was found, 2 when nothing could be run.
set -eu
cd "$(dirname "$0")/../.."
seconds=60
jobs=1
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    -*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    *) break ;;
    esac
done

build=build/fuzz
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset fuzz && cmake --build --preset fuzz; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "run.sh: the harnesses could not be built" >&2
    exit 2
fi
mkdir -p "$build/corpus" "$build/found" "$build/logs"
# shellcheck disable=SC2046 # names are words
[ $# -gt 0 ] || set -- $(find "$build/bin" -name 'fuzz_*' -type f | sed 's|.*/fuzz_||' | sort)

# One harness. -timeout: seconds for one input; -malloc_limit_mb: what one request may ask for.
run_one() {
    mkdir -p "$build/corpus/$1"
    ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "$build/bin/fuzz_$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="$build/found/$1-" \
        -dict="$build/tests/fuzz/seeds/words.dict" \
        "$build/corpus/$1" "$build/tests/fuzz/seeds/$1" >"$build/logs/$1.txt" 2>&1 &&
        echo 0 >"$build/logs/$1.rc" || echo $? >"$build/logs/$1.rc"
}

running=0
for name in "$@"; do
    [ -x "$build/bin/fuzz_$name" ] || { echo "run.sh: there is no harness $name" >&2; exit 2; }
    run_one "$name" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs" ]; then
        wait
        running=0
    fi
done
wait

stat() { sed -n "s/^stat::$2: *//p" "$build/logs/$1.txt" | tail -n 1; }
status=0
printf '%-14s %12s %10s %9s %8s  %s\n' harness inputs "a second" branches "MiB" result
for name in "$@"; do
    said=$build/logs/$name.txt
    branches=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$said" | tail -n 1)
    result="nothing found"
    if [ "$(cat "$build/logs/$name.rc")" != 0 ]; then
        status=1
        result="FOUND: $(sed -n 's/.*Test unit written to //p' "$said" | tail -n 1) (see $said)"
    fi
    printf '%-14s %12s %10s %9s %8s  %s\n' "$name" "$(stat "$name" number_of_executed_units)" \
        "$(stat "$name" average_exec_per_sec)" "${branches:-?}" "$(stat "$name" peak_rss_mb)" "$result"
done
exit $status
