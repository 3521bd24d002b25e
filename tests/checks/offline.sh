#!/bin/sh
# Compiles the kernels for GPUs without one: every row for NVIDIA of kernels/tuning/attention_fused_mma.csv, and the
# portable GPU kernels (the defines of programs.cmake) for NVIDIA and AMD. Where ptxas is installed NVIDIA's are assembled,
# registers, spills and local memory are shown, and a spill in a row for matrix units fails. Skips (77) without clang 19 and
# libclc. NVIDIA's own front end may differ by some registers.
#   sh offline.sh KERNELS [TUNING.csv]
set -u
kernels=$1
table=${2:-$kernels/tuning/attention_fused_mma.csv}
clang=$(command -v clang-19) || { echo "skipped: clang-19 is not installed (sh cmake/setup.sh)"; exit 77; }
nvidia_library=/usr/lib/clc/nvptx64--nvidiacl.bc
amd_library=/usr/lib/clc/gfx900-amdgcn--.bc
[ -f "$nvidia_library" ] || { echo "skipped: $nvidia_library is not installed (sh cmake/setup.sh)"; exit 77; }
ptxas=$(command -v ptxas || true)
[ -n "$ptxas" ] || ptxas=$(ls /usr/local/cuda/bin/ptxas 2>/dev/null || true)
[ -n "$ptxas" ] || echo "no ptxas here: NVIDIA's are compiled, not assembled"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

bad() {
    echo "FAILED: $1"
    head -n 8 "$tmp/log"
    failed=1
}

compile() { # target, cpu and its options, library, out, source, defines
    target=$1 cpu=$2 library=$3 out=$4 source=$5
    shift 5
    # shellcheck disable=SC2086 # options
    "$clang" --target="$target" $cpu -x cl -cl-std=CL1.2 -w -O3 -D__OPENCL_VERSION__=120 -Xclang -finclude-default-header \
        -Xclang -mlink-builtin-bitcode -Xclang "$library" -I"$kernels" "$@" -S "$kernels/$source" -o "$out" >"$tmp/log" 2>&1
}

# Prints a line of the table. $1 what, $2 1 = a spill fails; the rest: source, defines
nvidia() {
    what=$1 strict=$2
    shift 2
    compile nvptx64-nvidia-nvcl "-Xclang -target-cpu -Xclang sm_80 -Xclang -target-feature -Xclang +ptx70" "$nvidia_library" \
        "$tmp/a.ptx" "$@" || { bad "$what: clang"; return; }
    [ -n "$ptxas" ] || { printf '%-52s compiled\n' "$what"; return; }
    "$ptxas" -arch=sm_90 -v "$tmp/a.ptx" -o "$tmp/a.cubin" >"$tmp/log" 2>&1 || { bad "$what: ptxas"; return; }
    registers=$(sed -n 's/.*Used \([0-9]*\) registers.*/\1/p' "$tmp/log")
    spill=$(sed -n 's/.* \([0-9]*\) bytes spill stores.*/\1/p' "$tmp/log" | sort -n | tail -n 1)
    local=$(sed -n 's/.* \([0-9]*\) bytes smem.*/\1/p' "$tmp/log")
    printf '%-52s %9s %6s %12s\n' "$what" "$registers" "${spill:-0}" "${local:-0}"
    if [ "$strict" = 1 ] && [ "${spill:-0}" != 0 ]; then
        bad "$what: spills"
    fi
}

printf '%-52s %9s %6s %12s\n' configuration registers spill local_memory
grep '^[^,]*,sm_' "$table" >"$tmp/rows" || { echo "FAILED: no row for NVIDIA in $table"; exit 1; }
while IFS=, read -r _ _ _ _ dim query key warps stages lazy query_local _; do
    for type in 1 2; do
        for keywise in 0 1; do
            nvidia "mma dim=$dim ${query}x$key warps=$warps stages=$stages lazy=$lazy local=$query_local type=$type keywise=$keywise" 1 \
                attention_fused_mma.cl -DWARP_TILE_NVIDIA=1 -DDIM="$dim" -DBLOCK_QUERY="$query" -DBLOCK_KEY="$key" \
                -DWARPS="$warps" -DSTAGES="$stages" -DLAZY="$lazy" \
                -DQUERY_LOCAL="$query_local" -DATTN_TYPE=$type -DKEYWISE=$keywise
        done
    done
done <"$tmp/rows"

[ $# -lt 2 ] || exit $failed # a table of one's own: only that
# name and defines of the portable kernels, one set a line
awk '/^attn_opencl_program\(/ { split($1, part, "("); name = part[2] }
     { rest = $0; while (match(rest, /"-D[^"]*"/)) { print name, substr(rest, RSTART + 1, RLENGTH - 2);
       rest = substr(rest, RSTART + RLENGTH) } }' "$kernels/programs.cmake" |
    grep -E '^attention_(fused_gpu|decode_gpu|fused_mma|merge|repair) ' >"$tmp/portable"
set_number=0
while read -r name defines; do
    # shellcheck disable=SC2086 # several defines
    set_number=$((set_number + 1))
    nvidia "$name, set $set_number" 0 "$name.cl" $defines
    if [ -f "$amd_library" ]; then
        # shellcheck disable=SC2086
        compile amdgcn-- "-mcpu=gfx900" "$amd_library" "$tmp/a.s" "$name.cl" $defines || { bad "$name for AMD: $defines"; continue; }
        printf '%-52s %9s %6s %12s\n' "  the same for AMD gfx900" \
            "$(sed -n 's/.*NumVgprs: \([0-9]*\)$/\1/p' "$tmp/a.s" | sort -n | tail -n 1)" \
            "$(sed -n 's/.*ScratchSize: \([0-9]*\)$/\1/p' "$tmp/a.s" | sort -n | tail -n 1)" \
            "$(sed -n 's/.*LDSByteSize: \([0-9]*\) .*/\1/p' "$tmp/a.s" | sort -n | tail -n 1)"
    fi
done <"$tmp/portable"
exit $failed
