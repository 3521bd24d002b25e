#!/bin/sh
# Flags that make arithmetic inexact are refused with a sentence, or undone: configures the project with each, takes the command
# that compiles a file of the library, and looks at what it makes. For each compiler that is here.
#   sh fast_math.sh ROOT
set -eu
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/probe.c" <<'PROBE'
float nearest(float x);
float nearest(float x) {
    return (x + 12582912.0f) - 12582912.0f;
}
PROBE
refused=0 undone=0
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

# The command for host/base/half.c with another source and object.
command_of() { # folder, source, object
    sed -n 's/^ *"command": "\(.*\)",*$/\1/p' "$1/compile_commands.json" | grep 'host/base/half\.c$' | head -n 1 |
        sed 's/\\"/"/g; s/ -o [^ ]* -c [^ ]*$//' | awk -v more=" -Wno-error -o $3 -S $2" '{ print $0 more }'
}

try() { # compiler, flags, build type
    command -v "$1" >/dev/null || return 0
    folder=$work/build
    rm -rf "$folder"
    cmake -S "$root" -B "$folder" -DCMAKE_C_COMPILER="$1" "-DCMAKE_C_FLAGS=$2" "-DCMAKE_BUILD_TYPE=$3" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
        -DCLATTN_OPENCL=OFF -DCLATTN_LAYERS=OFF -DCLATTN_CLI=OFF -DCLATTN_TESTS=OFF -DCLATTN_INSTALL=OFF \
        >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    [ -n "$(command_of "$folder" "$work/probe.c" "$work/probe.s")" ] || { echo "no command for host/base/half.c"; exit 1; }
    if (cd "$folder" && sh -c "$(command_of "$folder" "$work/probe.c" "$work/probe.s")") >"$work/log" 2>&1; then
        # both operations are there; one that was simplified away is neither
        sums=$(grep -cE '^[[:space:]]+v?(add|sub)ss|^[[:space:]]+f(add|sub)[[:space:]]' "$work/probe.s") || true
        [ "$sums" -eq 2 ] || { cat "$work/probe.s"; echo "$1 $2 ($3): built, and x + c - c is $sums operations"; exit 1; }
        undone=$((undone + 1))
    elif grep -q 'clattn needs exact arithmetic' "$work/log"; then
        refused=$((refused + 1))
    else
        cat "$work/log"
        echo "$1 $2 ($3): fails without a sentence that says why"
        exit 1
    fi
}

for compiler in gcc clang icx; do
    try $compiler -O2 None
    try $compiler -ffast-math Release
    try $compiler -Ofast None
    try $compiler -Ofast Release
    try $compiler "-O2 -ffinite-math-only" None
    try $compiler "-O2 -funsafe-math-optimizations" None
    try $compiler "-O2 -fassociative-math -fno-signed-zeros -fno-trapping-math" None
done
echo "$refused refused, $undone undone or harmless"
[ "$refused" -ge 3 ] && [ "$undone" -ge 3 ]
