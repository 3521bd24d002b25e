#!/bin/sh
# bench/gpu_run.sh on this machine, in small: every stage leaves its mark, a second run repeats none, a stage whose mark is
# gone runs again, and bad usage is refused.
#   sh gpu_run.sh ROOT BUILD
set -u
root=$1
build=$2
out=$build/gpu_run.test
rm -rf "$out"
fail() {
    echo "$*"
    cat "$out.log" "$out"/*.err 2>/dev/null
    exit 1
}
again() {
    sh "$root/bench/gpu_run.sh" --quick --build "$build" --out "$out" "$@" >"$out.log" 2>&1
}

again || fail "exit status $?"
for stage in probe verify-cpu sweep-fp32 gradients-cpu training models decode peers peers-backward; do
    grep -q "\] $stage: " "$out.log" || fail "no stage $stage"
    [ -e "$out/done/$stage" ] || fail "$stage is not done"
done
for file in machine.txt plans.txt devices.json verify-cpu.csv sweep-fp32-no.csv sweep-fp32-no.svg models.csv decode.csv run.log; do
    tar tzf "$out/results.tar.gz" | grep -q "/$file\$" || fail "$file is not in the archive"
done
grep -q ',yes,' "$out/sweep-fp32-no.csv" || fail "nothing verified in the sweep"
rm "$out/done/probe"
again || fail "second run: exit status $?"
[ "$(grep -c ': done before' "$out.log")" -ge 5 ] || fail "stages are done twice"
grep -q '\] probe: done$' "$out.log" || fail "probe is not done again"
again --minutes && fail "--minutes without a value is taken"
again --build "$out/nowhere" && fail "a build folder that is not there is taken"
rm -rf "$out" "$out.log"
