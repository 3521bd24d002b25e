#!/bin/sh
# Every internal header compiles alone, so that includes may stand in any order; and twice, so that it has a guard. Bodies,
# which a file includes to compile them once more (*_body.h, and those of the reference and of the cpu engine's backward that
# have no guard), are compiled once. Kernels get the names defined that engines/cpu/shared/cpu_words.h asks for, bodies those of their heads.
#   sh headers.sh ROOT COMPILER [OPTION...]        OPTION: as in the build; without OpenCL's, headers that need it are left out
set -eu
root=$1
compiler=$2
shift 2
cd "$root/host"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile HEADER COMMAND...
compile() (
    header=$1
    shift
    case $header in
        ./engines/cpu/*_body.h)
            set -- "$@" -DATTN_VECTOR_BYTES=16
            for table in KERNELS PAIRS MATRIX; do set -- "$@" "-DATTN_$table=attn_table" "-DATTN_${table}_NAME=\"\""; done ;;
        *_body.h) set -- "$@" -DATTN_VECTOR_BYTES=16 -DATTN_KERNEL=attn_table '-DATTN_KERNEL_NAME=""' ;;
        ./engines/cpu/pairs/*) set -- "$@" -DATTN_VECTOR_BYTES=16 -DATTN_WORD=2 ;;
        ./engines/cpu/*/*) set -- "$@" -DATTN_VECTOR_BYTES=16 -DATTN_WORD=1 -DATTN_BACKWARD_WIDE=0 ;;
        */reference_row.h | */reference_score.h | */reference_gradients.h)
            set -- "$@" -DATTN_REFERENCE_WIDE=0 ;;
    esac
    case $header in
        *_body.h | */reference_row.h | */reference_score.h | */reference_gradients.h) ;;
        */backward/cpu_backward_careful.h | */backward/cpu_backward_job.h) set -- "$@" -include "$header" ;;
        */backward/*) ;;
        *) set -- "$@" -include "$header" ;;
    esac
    if ! "$@" -x c "$header" >"$work/log$part" 2>&1; then
        echo "host/${header#./} does not compile alone:"
        cat "$work/log$part"
    fi
)

opencl=no
for option in "$@"; do
    case $option in -DCLATTN_HAVE_OPENCL*) opencl=yes ;; esac
done
find . -name '*.h' ! -path './include/*' | sort >"$work/headers"
[ "$opencl" = yes ] || { grep -v opencl "$work/headers" >"$work/fewer" || true; mv "$work/fewer" "$work/headers"; }
parts=$(getconf _NPROCESSORS_ONLN)
part=0
while [ "$part" -lt "$parts" ]; do
    awk -v part="$part" -v parts="$parts" 'NR % parts == part' "$work/headers" | while read -r header; do
        compile "$header" "$compiler" -std=c11 -fsyntax-only -Werror=implicit-function-declaration -Werror=implicit-int \
            -I. -I.. -Iinclude -Icli "$@"
        echo "$header" >>"$work/done$part"
    done >"$work/failures$part" 2>&1 &
    part=$((part + 1))
done
wait
cat "$work"/failures*
count=$(cat "$work"/done* | wc -l)
echo "$count headers compiled"
[ "$count" -gt 0 ] && [ "$count" = "$(wc -l <"$work/headers")" ] && [ -z "$(cat "$work"/failures*)" ]
