#!/bin/sh
# Compiles attention_fused_mma for matrix units that are not here, beyond what offline.sh does: the rows of
# kernels/tuning/attention_fused_mma.csv for AMD (gfx9, gfx11, gfx12) on more processors, assembled, where use of scratch
# memory fails; and those for Intel (matrix16) as far as LLVM goes, where the extension's products must be called.
# Skips (77) without clang 19 and libclc.
#   sh offline_units.sh KERNELS [TUNING.csv]
set -u
kernels=$1
table=${2:-$kernels/tuning/attention_fused_mma.csv}
clang=$(command -v clang-19) || { echo "skipped: clang-19 is not installed (sh cmake/setup.sh)"; exit 77; }
[ -f /usr/lib/clc/gfx90a-amdgcn--.bc ] || { echo "skipped: libclc is not installed (sh cmake/setup.sh)"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# Calls "$@" for each row that names architecture $1, with the row's defines behind it.
rows() {
    architecture=$1
    shift
    grep "^[^,]*,$architecture," "$table" | while IFS=, read -r _ _ _ _ dim query key warps stages lazy local _; do
        "$@" -DDIM="$dim" -DBLOCK_QUERY="$query" -DBLOCK_KEY="$key" -DWARPS="$warps" -DSTAGES="$stages" -DLAZY="$lazy" \
            -DQUERY_LOCAL="$local" -DKEYWISE=1
    done
}

compile() { # what comes out, then options
    out=$1
    shift
    "$clang" -x cl -cl-std=CL1.2 -w -O3 -D__OPENCL_VERSION__=120 -Xclang -finclude-default-header -I"$kernels" "$@" \
        -S "$kernels/attention_fused_mma.cl" -o "$out" >"$out.log" 2>&1 && return
    echo "FAILED: $*"
    head -n 8 "$out.log"
    return 1
}

number() { # name, file: the kernel's own, which comes last
    sed -n "s/.*$1: \([0-9]*\).*/\1/p" "$2" | tail -n 1
}

amd() { # processor, tile, type, then the row's defines
    cpu=$1 tile=$2 type=$3
    shift 3
    compile "$tmp/$cpu.$type" --target=amdgcn-- "-mcpu=$cpu" -Xclang -mlink-builtin-bitcode \
        -Xclang "/usr/lib/clc/$cpu-amdgcn--.bc" "-DWARP_TILE_AMD_$tile=1" "-DATTN_TYPE=$type" "$@" || return
    scratch=$(number ScratchSize "$tmp/$cpu.$type")
    printf '%-8s type %s %-92s %4s registers, %s bytes of scratch\n' "$cpu" "$type" "$*" \
        "$(number NumVgprs "$tmp/$cpu.$type")" "$scratch"
    [ "$scratch" = 0 ] || echo "FAILED: $cpu uses scratch memory: $*"
}

# The extension's functions, which clang does not know.
prototypes() {
    for type in f16 bf16; do
        echo "__attribute__((overloadable)) float8 intel_sub_group_${type}_${type}_matrix_mad_k16(short8, int8, float8);"
    done
}

intel() { # type, then the row's defines
    type=$1
    shift
    compile "$tmp/intel.$type" --target=spir64 -emit-llvm -include "$tmp/intel.h" \
        -Xclang -cl-ext=+cl_intel_subgroups,+cl_khr_fp16 -DWARP_TILE_INTEL=1 "-DATTN_TYPE=$type" "$@" || return
    calls=$(grep -c "call.*matrix_mad_k16" "$tmp/intel.$type")
    printf '%-8s type %s %-92s %4s products\n' intel "$type" "$*" "$calls"
    [ "$calls" -gt 0 ] || echo "FAILED: no product of the extension: $*"
}

prototypes >"$tmp/intel.h"
{ # two at a time
    rows gfx9 amd gfx90a MFMA 2
    rows gfx11 amd gfx1100 GFX11 1
    rows matrix16 intel 1
} >"$tmp/first" &
rows gfx9 amd gfx908 MFMA 1 >"$tmp/second"
rows gfx12 amd gfx1201 GFX12 1 >>"$tmp/second"
rows matrix16 intel 2 >>"$tmp/second"
wait
cat "$tmp/first" "$tmp/second"
! grep -q "^FAILED" "$tmp/first" "$tmp/second"
