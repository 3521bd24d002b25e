#!/bin/sh
# How much of the source the tests run: lines and branches, a folder a line.
#
#   sh tests/coverage.sh [FOLDER] [ctest options]     FOLDER is where it is built (build/coverage)
#
# The whole suite without checks, variants and mutants, built with gcc --coverage: some ten minutes on two cores. ctest options choose
# other tests (-L fast). FOLDER/missed.txt names each line that did not run and each that took a part of its branches.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
folder=$source/build/coverage
case "${1:-}" in
'' | -*) ;;
*)
    folder=$1
    shift
    ;;
esac
[ $# -gt 0 ] || set -- --label-exclude 'variant|package|release|check'

generator=
! command -v ninja >/dev/null 2>&1 || generator="-G Ninja"
# shellcheck disable=SC2086 # two words or none
cmake -S "$source" -B "$folder" $generator -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=None -DCLATTN_TESTS=ON \
    -DCMAKE_C_FLAGS="-O1 -g --coverage -fprofile-update=atomic" >"$folder.log" 2>&1 || { cat "$folder.log" >&2; exit 1; }
cmake --build "$folder" --parallel "$(nproc)" >"$folder.log" 2>&1 || { tail -n 40 "$folder.log" >&2; exit 1; }
rm -f "$folder.log"
find "$folder" -name '*.gcda' -delete
failed=0
ctest --test-dir "$folder" --output-on-failure --parallel "$(nproc)" "$@" || failed=1

python3 "$source/tests/coverage.py" "$source" "$folder" --missed "$folder/missed.txt"
echo "what was not run: $folder/missed.txt"
exit $failed
