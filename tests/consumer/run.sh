#!/bin/sh
# Installs the built library into an empty folder, moves that folder, and builds and runs a small program with it: by
# CMake package (shared and static), by pkg-config (shared and static), and with the source as a subfolder.
#   sh run.sh SOURCE BUILD CC LIBDIR [cmake options for the subfolder form]
set -eu
source=$1
build=$2
cc=$3
libdir=$4
shift 4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '== %s\n' "$*"; }

say install
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/installed" # nothing may remember where it was
prefix=$work/installed
[ ! -e "$prefix/bin/clattn" ] || "$prefix/bin/clattn" --help >/dev/null

say "find_package"
cmake -S "$source/tests/consumer" -B "$work/package" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" >/dev/null
cmake --build "$work/package" >/dev/null
"$work/package/consumer_shared"
"$work/package/consumer_static"

if command -v clang++ >/dev/null 2>&1; then
    say "the headers in C++"
    for header in "$prefix"/include/clattn/*.h; do
        clang++ -x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$header"
    done
fi

export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
say "pkg-config, shared"
# shellcheck disable=SC2046 # words
"$cc" "$source/tests/consumer/consumer.c" -o "$work/shared" $(pkg-config --cflags --libs clattn)
LD_LIBRARY_PATH="$prefix/$libdir" "$work/shared"

say "pkg-config, static"
rm "$prefix/$libdir"/libclattn.so*
# shellcheck disable=SC2046
"$cc" "$source/tests/consumer/consumer.c" -o "$work/static" $(pkg-config --cflags --libs --static clattn)
"$work/static"

say "add_subdirectory"
cmake -S "$source/tests/consumer/embedded" -B "$work/embedded" -DCLATTN_SOURCE="$source" \
    -DCMAKE_C_COMPILER="$cc" "$@" >/dev/null
cmake --build "$work/embedded" --target consumer_embedded >/dev/null
"$work/embedded/consumer_embedded"
[ ! -e "$work/embedded/clattn/bin/clattn" ] || { echo "an embedding project builds the program too"; exit 1; }
