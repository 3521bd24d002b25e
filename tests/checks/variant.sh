#!/bin/sh
# Builds the project another way and runs suites of it: another compiler, without OpenCL, with sanitizers.
#   sh variant.sh PRESET SOURCE BUILD LABELS      LABELS: a regular expression of ctest labels
set -eu
preset=$1
source=$2
build=$3
labels=$4
generator=
if [ ! -f "$build/CMakeCache.txt" ] && command -v ninja >/dev/null 2>&1; then
    generator="-G Ninja"
fi
cd "$source"
# shellcheck disable=SC2086 # two words or none
cmake --preset "$preset" -B "$build" $generator
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure --no-tests=error --label-regex "$labels"
