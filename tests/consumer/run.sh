#!/bin/sh
# Installs the built library into an empty folder, moves that folder, and builds and runs a small program with it: by
# CMake package (shared and static), by pkg-config (shared and static), and with the source as a subfolder.
#   sh run.sh SOURCE BUILD CC LIBDIR LAYERS [cmake options for the subfolder form]
# LAYERS: ON where the build has the layers, which are then used in the same five ways.
set -eu
source=$1
build=$2
cc=$3
libdir=$4
layers=$5
shift 5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '== %s\n' "$*"; }

say install
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/installed" # nothing may remember where it was
prefix=$work/installed
[ ! -e "$prefix/bin/clattn" ] || "$prefix/bin/clattn" --help >/dev/null

say "find_package"
cmake -S "$source/tests/consumer" -B "$work/package" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DWITH_LAYERS="$layers" >/dev/null
cmake --build "$work/package" >/dev/null
"$work/package/consumer_shared"
"$work/package/consumer_static"
if [ "$layers" = ON ]; then
    "$work/package/consumer_layers_shared"
    "$work/package/consumer_layers_static"
elif cmake -S "$source/tests/consumer" -B "$work/refused" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null 2>&1; then
    echo "the component layers is found where there are none"
    exit 1
fi

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
if [ "$layers" = ON ]; then
    # shellcheck disable=SC2046
    "$cc" "$source/tests/consumer/consumer_layers.c" -o "$work/layers" $(pkg-config --cflags --libs clattn-layers)
    LD_LIBRARY_PATH="$prefix/$libdir" "$work/layers"
fi

say "pkg-config, static"
rm "$prefix/$libdir"/libclattn*.so*
# shellcheck disable=SC2046
"$cc" "$source/tests/consumer/consumer.c" -o "$work/static" $(pkg-config --cflags --libs --static clattn)
"$work/static"
if [ "$layers" = ON ]; then
    # shellcheck disable=SC2046
    "$cc" "$source/tests/consumer/consumer_layers.c" -o "$work/layers" $(pkg-config --cflags --libs --static clattn-layers)
    "$work/layers"
fi
for word in $(sed -n 's/^\(Requires\|Libs\)[.a-z]*://p' "$prefix/$libdir"/pkgconfig/clattn*.pc); do # nothing else may creep in
    case $word in
    -L* | -lclattn | -lclattn_layers | -lm | -pthread | -lOpenCL | -lclblast | OpenCL | clblast | clattn | = | [0-9]*) ;;
    *) echo "pkg-config names $word"; exit 1 ;;
    esac
done

say "add_subdirectory"
cmake -S "$source/tests/consumer/embedded" -B "$work/embedded" -DCLATTN_SOURCE="$source" \
    -DCMAKE_C_COMPILER="$cc" "$@" >/dev/null
cmake --build "$work/embedded" --target consumer_embedded >/dev/null
"$work/embedded/consumer_embedded"
if [ "$layers" = ON ]; then
    cmake --build "$work/embedded" --target consumer_layers_embedded >/dev/null
    "$work/embedded/consumer_layers_embedded"
fi
[ ! -e "$work/embedded/clattn/bin/clattn" ] || { echo "an embedding project builds the program too"; exit 1; }
