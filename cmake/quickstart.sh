#!/bin/sh
# From a fresh clone to a result, with one command:
#
#   sh cmake/quickstart.sh bench [words]   install what the benchmark needs, build the program, run it on this machine
#   sh cmake/quickstart.sh test            install what the tests need and can use, build, run every test but the longest
#
# Words after "bench" go to `clattn bench` (see build/release/bin/clattn bench --help). In continuous integration
# (CI=true, or CLATTN_REQUIRE_DEVICE=1) a missing OpenCL device is a failure; elsewhere its tests are skipped.
# CLATTN_WITHOUT_INTEL=1 leaves Intel's runtime, a second OpenCL device from PyPI, out of the tests.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

say() { printf '\n== %s\n' "$*"; }

usage() {
    printf 'usage: sh cmake/quickstart.sh bench [words] | test\n' >&2
    exit 2
}

# build PRESET TARGET [configure options]: configures and builds, quietly unless something fails.
build() {
    preset=$1 target=$2
    shift 2
    say "building build/$preset ($target)"
    generator=
    if [ ! -f "build/$preset/CMakeCache.txt" ] && command -v ninja >/dev/null 2>&1; then
        generator="-G Ninja"
    fi
    # shellcheck disable=SC2086 # two words or none
    cmake --preset "$preset" $generator "$@"
    cmake --build "build/$preset" --target "$target" --parallel "$(nproc)"
}

bench() {
    say "installing what the benchmark needs (for all the rest: sh cmake/setup.sh)"
    sh cmake/setup.sh bench
    build release clattn_cli -DCLATTN_TESTS=OFF
    say "running build/release/bin/clattn bench $*"
    build/release/bin/clattn bench "$@"
}

run_tests() {
    [ $# = 0 ] || usage
    if [ "${CI:-}" = true ]; then
        export CLATTN_REQUIRE_DEVICE=1
    fi
    say "installing what the tests need, and what they can use"
    sh cmake/setup.sh
    build dev all -DCLATTN_VARIANT_TESTS=ON
    say "running the tests (those labelled release take long and are left out: ctest --test-dir build/dev -L release)"
    ctest --test-dir build/dev --output-on-failure --label-exclude release --parallel "$(nproc)"
}

case "${1:-}" in
bench) shift; bench "$@" ;;
test) shift; run_tests "$@" ;;
*) usage ;;
esac
