#!/bin/sh
# Compiles the kernels for GPUs without one: every row of kernels/tuning for NVIDIA (sm_...) and for AMD, with clang 19 and
# libclc; NVIDIA's are assembled where ptxas is (sh cmake/setup.sh ptxas). Prints registers, spills (AMD: scratch) and local
# memory of the kernel's own; a spill fails, but for rows whose note says "fallback". Skips (77) without clang 19 or libclc.
# NVIDIA's own front end may differ by some registers. To add a table: its -D beyond the columns, in list_jobs.
#   sh offline.sh KERNELS [--table NAME=CSV] [--csv FILE] [--all]
#     --table: another file for the table NAME, and that table alone   --all: more types, row counts and architectures
set -u
kernels=$1
shift
only= replacement= csv= all=0
while [ $# -gt 0 ]; do
    case $1 in
    --table) only=${2%%=*} replacement=${2#*=}; shift ;;
    --csv) csv=$2; shift ;;
    --all) all=1 ;;
    --job) job=$2 tmp=$3; shift 2 ;;
    *) echo "offline.sh: $1: no such option" >&2; exit 2 ;;
    esac
    shift
done
clang=$(command -v clang-19) || { echo "skipped: clang-19 is not installed (sh cmake/setup.sh)"; exit 77; }
nvidia_library=/usr/lib/clc/nvptx64--nvidiacl.bc
amd_library=/usr/lib/clc/gfx900-amdgcn--.bc
[ -f "$nvidia_library" ] || { echo "skipped: $nvidia_library is not installed (sh cmake/setup.sh)"; exit 77; }

find_ptxas() {
    command -v ptxas && return
    for place in "$kernels/../build/ptxas/bin/ptxas" /usr/local/cuda/bin/ptxas; do
        [ ! -x "$place" ] || { echo "$place"; return; }
    done
}
ptxas=$(find_ptxas)

# The tables as jobs: "strict limit target source label defines", one a line. A size column is a -D of its name.
list_jobs() {
    for table in attention_fused_mma attention_fused_tf32 attention_fused_gpu attention_backward_gpu attention_decode_gpu; do
        [ -z "$only" ] || [ "$only" = "$table" ] || continue
        file=${replacement:-$kernels/tuning/$table.csv}
        [ ! -f "$file" ] || awk -F, -v table="$table" -v all="$all" '
        function job(target, extra, label) {
            # the engines bound the registers of the form without keywise features and training alone
            print (/fallback/ ? 0 : 1), (label ~ /keywise=1/ || trained != "" ? 0 : limit), target, table ".cl", table "/dim=" $5 sizes label trained, defines " " extra more
        }
        function for_target(target, vendor) { # with dropout and prefix, too: the first row of each maker that the engines take for them
            for_sizes(target)
            vendor = target == "nvidia"
            if (table == "attention_fused_mma" && vendor && $6 / $8 > 16 || seen[vendor]++) return
            trained = "/training"; more = " -DATTN_DROPOUT=1 -DATTN_PREFIX=1"
            for_sizes(target)
            trained = more = ""
        }
        function for_sizes(target) {
            if (table == "attention_fused_tf32") {
                for (w = 0; w < 2; w++) for (n = 3; n > 0; n -= 2)
                    job(target, tile " -DKEYWISE=" w " -DPRODUCTS=" n, "/keywise=" w "/products=" n)
            } else if (table == "attention_fused_mma") {
                for (w = 0; w < 2; w++) for (t = 1; t < 3; t++) if (all || t == w + 1)
                    job(target, tile " -DATTN_TYPE=" t " -DKEYWISE=" w, "/type=" t "/keywise=" w)
            } else if (table == "attention_fused_gpu") {
                for (t = 0; t < 3; t++) if (all || t != 2) job(target, "-DSUBGROUP_SHUFFLE=0 -DATTN_TYPE=" t, "/type=" t)
            } else if (table == "attention_backward_gpu") {
                for (t = 0; t < 3; t++) for (p = 0; p < 2; p++) if (all || t == 0 || (t == 1 && p == 1))
                    job(target, "-DSUBGROUP_SHUFFLE=0 -DATTN_TYPE=" t " -DPASS_KEYS=" p, "/type=" t "/keys=" p)
            } else {
                for (n = rows_most < 4 ? 1 : all ? 1 : 4; n <= rows_most; n *= (n == 1 ? 4 : !all && n < rows_most ? rows_most / n : 2))
                    for (t = ($4 == "fp32" ? 0 : 1); t <= ($4 == "fp32" || !all ? ($4 == "fp32" ? 0 : 1) : 2); t++) {
                        keys = n >= 8 && keys_most > 1 ? keys_most / 2 : keys_most
                        job(target, "-DATTN_TYPE=" t " -DROWS=" n " -DKEYS=" keys, "/type=" t "/rows=" n)
                    }
            }
        }
        NR == 1 { for (k = 1; k <= NF; k++) name[k] = $k; columns = NF; next }
        /^#/ || !NF { next }
        {
            defines = "-DDIM=" $5; sizes = ""; limit = 0
            for (k = 6; k < columns; k++) {
                if (name[k] == "registers") { limit = $k; continue }
                if (table == "attention_decode_gpu" && name[k] == "rows") { rows_most = $k; continue }
                sizes = sizes "/" name[k] "=" $k
                if (table == "attention_decode_gpu" && name[k] == "keys") { keys_most = $k; continue }
                defines = defines " -D" toupper(name[k]) "=" $k
            }
            gsub("block_", "", sizes); gsub("threads_", "", sizes)
            if ($2 ~ /^sm_/) {
                tile = "-DWARP_TILE_NVIDIA=1"; for_target("nvidia")
            } else if ($1 ~ /Advanced Micro/ && $2 ~ /^gfx/) {
                tile = $2 ~ /^gfx9/ ? "-DWARP_TILE_AMD_MFMA=1" : $2 ~ /^gfx11/ ? "-DWARP_TILE_AMD_GFX11=1" : "-DWARP_TILE_AMD_GFX12=1"
                for_target($2 ~ /^gfx9$/ ? "gfx942" : $2 ~ /^gfx11$/ ? "gfx1100" : $2 ~ /^gfx12$/ ? "gfx1200" : $2)
            } else if ($1 ~ /Advanced Micro/) {
                for_target("gfx90a"); for_target("gfx1100")
                if (all) { for_target("gfx942"); for_target("gfx1030") }
            }
        }' "$file"
    done
}

# Compilers for GPUs inline everything; clang alone would leave large functions, and arrays given to them in memory.
compile() { # library, out, source, options and defines
    library=$1 out=$2 source=$3
    shift 3
    "$clang" "$@" -x cl -cl-std=CL1.2 -w -O3 -mllvm -inline-threshold=100000 -D__OPENCL_VERSION__=120 \
        -Xclang -finclude-default-header -Xclang -mlink-builtin-bitcode -Xclang "$library" -I"$kernels" -S "$kernels/$source" -o "$out"
}

# One job: a line "architecture,kernel and sizes,registers,spill bytes,local memory bytes,result".
numbers() { # architecture, registers, spill, local
    result=ok
    if [ -z "$2" ] || [ -z "$3" ]; then
        result="does not say its registers: "
    elif [ "$3" != 0 ]; then
        result=spills
        [ "$strict" = 1 ] || result="spills (fallback)"
    fi
    echo "$1,$label,$2,$3,${4:-0},$result"
}

largest() { # pattern with one number
    sed -n "s/.*$1.*/\\1/p" "$2" | sort -n | tail -n 1
}

run_job() {
    # shellcheck disable=SC2086
    set -- $job
    strict=$1 limit=$2 target=$3 source=$4 label=$5
    shift 5
    work=$(mktemp -d "$tmp/job.XXXXXX")
    if [ "$target" = nvidia ]; then
        compile "$nvidia_library" "$work/a.ptx" "$source" --target=nvptx64-nvidia-nvcl -Xclang -target-cpu -Xclang sm_80 \
            -Xclang -target-feature -Xclang +ptx70 "$@" >"$work/log" 2>&1 ||
            { echo "nvidia,$label,,,,does not compile: $(head -n 3 "$work/log" | tr ',\n' '  ')"; return; }
        [ -n "$ptxas" ] || { echo "sm_80,$label,,,,compiled; no ptxas here"; return; }
        bound=
        [ "$limit" = 0 ] || bound=--maxrregcount=$limit
        for architecture in sm_90 $([ $all = 0 ] || echo sm_80); do
            # sm_90a: local memory beyond 48 KB is allowed to static arrays
            "$ptxas" -arch="${architecture}$([ $architecture = sm_90 ] && echo a)" $bound -v "$work/a.ptx" -o "$work/a.cubin" \
                >"$work/log" 2>&1 ||
                { echo "$architecture,$label,,,,does not assemble: $(head -n 3 "$work/log" | tr ',\n' '  ')"; continue; }
            numbers $architecture "$(largest 'Used \([0-9]*\) registers' "$work/log")" \
                "$(largest ' \([0-9]*\) bytes stack frame' "$work/log")" "$(largest ' \([0-9]*\) bytes smem' "$work/log")"
        done
    else
        compile "$amd_library" "$work/a.s" "$source" --target=amdgcn-- -mcpu="$target" "$@" >"$work/log" 2>&1 ||
            { echo "$target,$label,,,,does not compile: $(head -n 3 "$work/log" | tr ',\n' '  ')"; return; }
        numbers "$target" "$(largest 'NumVgprs: \([0-9][0-9]*\)' "$work/a.s")" "$(largest 'ScratchSize: \([0-9][0-9]*\)' "$work/a.s")" \
            "$(largest 'LDSByteSize: \([0-9]*\) ' "$work/a.s")"
    fi
    rm -r "$work"
}

if [ -n "${job:-}" ]; then
    run_job >>"$tmp/result.$$"
    exit 0
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
list_jobs >"$tmp/jobs"
[ -s "$tmp/jobs" ] || { echo "FAILED: no row for NVIDIA or AMD"; exit 1; }
# The portable tile of the tables for matrix units is compiled by the tests that run it.
options=
[ $all = 0 ] || options=--all
tr '\n' '\0' <"$tmp/jobs" | xargs -0 -P 2 -I{} sh "$0" "$kernels" $options --job {} "$tmp"
echo "architecture,kernel and sizes,registers,spill bytes,local memory bytes,result" >"$tmp/table"
cat "$tmp"/result.* | sort >>"$tmp/table"
[ -z "$csv" ] || cp "$tmp/table" "$csv"
awk -F, '{ printf "%-8s %9s %6s %8s  %-10s %s\n", $1, $3, $4, $5, $6, $2 }' "$tmp/table" | sed 's/spill bytes/spill/; s/local memory bytes/local/'
rows=$(($(wc -l <"$tmp/table") - 1))
bad=$(sed 1d "$tmp/table" | grep -c -E ',(spills|does not [a-z]*: .*)$')
echo "$(wc -l <"$tmp/jobs") programs, $rows results, $bad bad"
[ -n "$ptxas" ] || echo "no ptxas here: NVIDIA's are compiled, not assembled"
[ "$bad" = 0 ] && [ "$rows" -ge "$(wc -l <"$tmp/jobs")" ]
