#!/bin/sh
# Public headers are C++ too: each by itself, and every _INIT macro, with no warning, in each standard and with each compiler
# that is here. And every macro has a function for languages without macros.
#   sh cplusplus.sh ROOT PROGRAM [HEADER...]        PROGRAM uses every macro; HEADER: left out
set -eu
root=$1
program=$2
shift 2
left_out=" $* "
include=$root/host/include
failed=0

macros=$(sed -n 's/^#define \(CLATTN_[A-Z_]*_INIT\)\([ \\].*\)*$/\1/p' "$include"/clattn/*.h)
[ -n "$macros" ] || { echo "no macro found"; exit 1; }
for macro in $macros; do
    grep -q -w "$macro" "$program" || { echo "$macro is not used by $program"; failed=1; }
    case $macro in CLATTN_TENSOR_INIT | CLATTN_BROADCAST_INIT | CLATTN_ARRAY_INIT | CLATTN_INTEGERS_INIT) continue ;; esac
    function=$(printf '%s' "$macro" | tr 'A-Z' 'a-z')
    grep -q "void $function(" "$include"/clattn/*.h || { echo "$macro has no $function()"; failed=1; }
done

compiled=0
for compiler in g++ clang++; do
    command -v $compiler >/dev/null 2>&1 || continue
    for standard in c++11 c++14 c++17 c++20; do
        for file in "$include"/clattn/*.h "$program"; do
            case "$left_out" in *" ${file##*/} "*) continue ;; esac
            if ! $compiler -x c++ -std=$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$include" "$file"; then
                echo "$file does not compile: $compiler -std=$standard"
                failed=1
            fi
            compiled=$((compiled + 1))
        done
    done
done
printf '%d compilations, %d macros\n' $compiled "$(printf '%s\n' "$macros" | wc -l)"
[ "$failed" = 0 ] || exit 1
[ $compiled -gt 0 ] || exit 77
