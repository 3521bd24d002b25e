#!/bin/sh
# From a fresh clone to a result, with one command:
#
#   sh cmake/quickstart.sh bench [words]   install what is needed, build, run the benchmark on this machine
#   sh cmake/quickstart.sh test            install what is needed, build, run every test
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

# build PRESET [configure options]: configures and builds, quietly unless something fails.
build() {
    preset=$1
    shift
    say "building build/$preset"
    generator=
    if [ ! -f "build/$preset/CMakeCache.txt" ] && command -v ninja >/dev/null 2>&1; then
        generator="-G Ninja"
    fi
    # shellcheck disable=SC2086 # two words or none
    cmake --preset "$preset" $generator "$@"
    cmake --build "build/$preset" --parallel "$(nproc)"
}

bench() {
    sh cmake/setup.sh
    build release -DCLATTN_TESTS=OFF
    say "running build/release/bin/clattn bench $*"
    build/release/bin/clattn bench "$@"
}

run_tests() {
    [ $# = 0 ] || usage
    if [ "${CI:-}" = true ]; then
        export CLATTN_REQUIRE_DEVICE=1
    fi
    sh cmake/setup.sh
    if [ "${CLATTN_WITHOUT_INTEL:-}" != 1 ] && ! sh cmake/setup.sh intel; then
        if [ "${CLATTN_REQUIRE_DEVICE:-}" = 1 ]; then
            echo "quickstart: set CLATTN_WITHOUT_INTEL=1 to test without that runtime" >&2
            exit 1
        fi
        say "going on without Intel's OpenCL runtime: the suites run on the other devices only"
    fi
    sh cmake/setup.sh model || say "going on without the sentence encoder: its example's test is skipped"
    sh cmake/setup.sh ptxas || say "going on without ptxas: the spills of NVIDIA's kernels are not seen"
    build dev -DCLATTN_VARIANT_TESTS=ON
    say "running the tests"
    ctest --test-dir build/dev --output-on-failure --parallel "$(nproc)"
}

case "${1:-}" in
bench) shift; bench "$@" ;;
test) shift; run_tests "$@" ;;
*) usage ;;
esac
