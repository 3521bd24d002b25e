#!/bin/sh
# Everything worth knowing of a machine with a GPU, in stages of at most 8 minutes; bench/README.md says how to use it.
#   sh bench/gpu_run.sh [--build DIR] [--out DIR] [--lib-dir DIR] [--minutes N] [--device SELECTOR] [--python PROGRAM]
#                       [--quick] [STAGE...]
# A stage that is done is skipped when the script is started again with the same --out. Exit status 1: a result is wrong.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
build=$root/build/release
out=gpu-results
lib_dir=
minutes=
device=
quick=0
python=$(command -v python3 || command -v python || echo python3)
only=

fail() {
    echo "gpu_run.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --build | --out | --lib-dir | --minutes | --device | --python)
        [ $# -gt 1 ] || fail "$1 needs a value"
        case $1 in
        --build) build=$2 ;;
        --out) out=$2 ;;
        --lib-dir) lib_dir=$2 ;;
        --minutes) minutes=$2 ;;
        --device) device=$2 ;;
        --python) python=$2 ;;
        esac
        shift ;;
    -h | --help)
        sed -n '2,5s/^# \{0,1\}//p' "$0"
        exit 0 ;;
    -*) fail "$1: no such option" ;;
    *) only="$only $1" ;;
    esac
    shift
done

begun=$(date +%s)
mkdir -p "$out/done" || fail "$out: cannot be made"
out=$(cd "$out" && pwd)
build=$(cd "$build" 2>/dev/null && pwd) || fail "no build folder there: give --build DIR"
clattn=$build/bin/clattn
[ -x "$clattn" ] || fail "$clattn: not there"

# ---------------------------------------------------------------- libraries and drivers that lie in unusual places

python_path=${LD_LIBRARY_PATH:-} # PyTorch must find its own libraries, without our additions
paths=$build
if [ -n "$lib_dir" ]; then
    lib_dir=$(cd "$lib_dir" 2>/dev/null && pwd) || fail "--lib-dir: no such folder"
    paths=$lib_dir:$paths
fi
if [ -z "${OCL_ICD_VENDORS:-}" ] && ! ls /etc/OpenCL/vendors/*.icd >/dev/null 2>&1; then
    for driver in /usr/local/nvidia/lib64/libnvidia-opencl.so.1 /usr/local/nvidia/lib/libnvidia-opencl.so.1 \
        /usr/lib/x86_64-linux-gnu/libnvidia-opencl.so.1 /usr/lib64/libnvidia-opencl.so.1; do
        if [ -e "$driver" ]; then
            mkdir -p "$out/vendors"
            echo "$driver" >"$out/vendors/nvidia.icd"
            export OCL_ICD_VENDORS="$out/vendors"
            paths=$paths:$(dirname "$driver")
            break
        fi
    done
fi
[ ! -d /usr/local/nvidia/lib64 ] || paths=$paths:/usr/local/nvidia/lib64
export LD_LIBRARY_PATH="$paths${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# ---------------------------------------------------------------- stages

tuning=$out/tuning.csv # what this run finds; later stages use it
wrong=0

log() {
    echo "[$(($(date +%s) - begun)) s] $*" | tee -a "$out/run.log"
}

tuned() { # clattn with the rows that were found so far
    if [ -e "$tuning" ]; then
        timeout "$limit" "$clattn" "$@" --tuning "$tuning"
    else
        timeout "$limit" "$clattn" "$@" --tuning none
    fi
}

# Sweeps stop where a CPU takes minutes; a GPU goes to the end.
sizes() {
    if [ $quick = 1 ]; then
        top=512 seconds=6 tune_seconds=2 cases=4 heads=2
    elif [ $gpu = 1 ]; then
        top=131072 seconds=$((limit - 90)) tune_seconds=50 cases=60 heads=16
    else
        top=8192 seconds=240 tune_seconds=20 cases=20 heads=12
    fi
}

stage_probe() {
    {
        date -u
        uname -a
        getconf GNU_LIBC_VERSION
        nproc
        nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.mem,power.limit --format=csv
        nvidia-smi -q -d CLOCK,PERFORMANCE,TEMPERATURE
        clinfo
        ls -l /etc/OpenCL/vendors "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"
        ldd "$clattn"
    } >"$out/machine.txt" 2>&1
    # which bodies and rows the driver took, and why not others: inline PTX, local memory beyond what it reports
    for type in fp32 fp16 bf16; do
        for dim in 64 128 256; do
            [ $quick = 0 ] || [ $type$dim = fp3264 ] || continue
            "$clattn" plan query_length=4096 query_heads=16 head_dim=$dim type=$type --engine opencl-fused $select
            "$clattn" plan batch=8 query_length=1 key_length=4096 query_heads=32 kv_heads=8 head_dim=$dim type=$type \
                --engine opencl-decode $select
        done
    done >"$out/plans.txt" 2>&1
    "$clattn" --version && "$clattn" devices --json >"$out/devices.json" && "$clattn" devices
}

stage_verify() { # $1: engine
    tuned verify --engine "$1" --cases "$cases" --seed 1 --csv "$out/verify-$1.csv" $select || return
    if [ "$1" != opencl-unfused ] && [ $gpu = 1 ]; then # lengths that a GPU is for
        tuned verify --engine "$1" query_heads=4 query_length=4096 head_dim=64,128 type=fp32,fp16,bf16 causal=no,yes $select
    fi
}

stage_gradients() { # $1: engine
    tuned verify --engine "$1" direction=backward --cases "$((cases / 2 + 1))" --seed 1 --csv "$out/gradients-$1.csv" $select || return
    [ $quick = 1 ] || tuned verify --engine "$1" --suite "$root/tests/cases/gradients.txt" $select || return
    if [ $gpu = 1 ]; then # lengths that a GPU is for, sampled
        tuned verify --engine "$1" direction=backward query_heads=2 kv_heads=1 query_length=2048 head_dim=64,128 \
            type=fp32,fp16,bf16 causal=no,yes $select
    fi
}

# Times of backward, and of forward and backward together; every result is judged first.
stage_training() {
    if [ $quick = 1 ]; then
        set -- query_length=128 query_heads=2 head_dim=64 direction=backward
    else
        set -- --suite "$root/bench/suites/gradients.txt"
    fi
    tuned bench "$@" --engine "$engines" --seconds "$seconds" --csv "$out/training.csv" --json "$out/training.json" $select
}

stage_sweep() { # $1: type, $2: causal
    tuned bench query_length=512..$top query_heads=$heads head_dim=64,128 "type=$1" "causal=$2" --engine "$engines" \
        --seconds "$seconds" --csv "$out/sweep-$1-$2.csv" --json "$out/sweep-$1-$2.json" --plot "$out/sweep-$1-$2.svg" $select
}

# The same problems by the body that the library chooses (matrix units), by the portable one, and with copies from the host.
stage_bodies() {
    words="query_length=1024,4096,16384 query_heads=16 head_dim=64,128,256 type=fp16,fp32"
    [ $gpu = 1 ] || words="query_length=512 query_heads=2 head_dim=64,128 type=fp16,fp32"
    [ $quick = 0 ] || words="query_length=128 query_heads=2 head_dim=64 type=fp32"
    for body in chosen portable copies; do
        case $body in
        chosen) set -- ;;
        portable) set -- --body gpu-shaped ;;
        copies) set -- --memory host ;;
        esac
        tuned bench $words --engine opencl-fused "$@" --seconds "$((seconds / 3 + 1))" --csv "$out/bodies-$body.csv" $select || return
    done
}

stage_models() {
    suite=models
    [ $quick = 0 ] || suite=quick
    tuned bench --suite "$root/bench/suites/$suite.txt" --engine "$engines" --seconds "$seconds" \
        --csv "$out/models.csv" --json "$out/models.json" $select
}

# Drawing and checking a problem takes the host far longer than the GPU needs: long caches get a small batch.
stage_decode() {
    batch=32 keys=4096..16384
    [ $gpu = 1 ] || { batch=1 keys=4096..32768; }
    [ $quick = 0 ] || keys=1024
    words="query_length=1 query_heads=32 kv_heads=8 head_dim=128 type=fp16,fp32,bf16"
    tuned bench batch=$batch key_length=$keys $words --engine "$engines" --seconds "$((seconds / 2))" \
        --csv "$out/decode.csv" --plot "$out/decode.svg" $select || return
    [ $gpu = 0 ] || tuned bench batch=1,4 key_length=65536 $words --engine "$engines" --seconds "$((seconds / 2))" \
        --csv "$out/decode-long.csv" $select
}

stage_tune() { # $1: problem words
    timeout "$limit" "$clattn" tune $1 --seconds "$tune_seconds" --tuning "$tuning" $select
}

stage_peers() { # $1: direction
    set -- "$build/libclattn.so" --direction "$1" --csv "$out/peers-$1.csv" --seconds "$((limit - 60))"
    [ $quick = 0 ] || set -- "$@" --quick
    LD_LIBRARY_PATH="$python_path" PYTHONDONTWRITEBYTECODE=1 CLATTN_LIBS="$paths" timeout "$limit" \
        "$python" "$here/peers/cuda.py" "$@"
}

pack() {
    (cd "$out" && find . -type f ! -name 'results.tar.gz*' >done/.files && tar czf results.tar.gz.new -T done/.files &&
        mv results.tar.gz.new results.tar.gz)
    rm -f "$out/done/.files"
}

run() { # name, function, arguments: once, within its limit, its output beside the results
    name=$1
    shift
    if [ -n "$only" ]; then
        case " $only " in *" $name "*) ;; *) return ;; esac
    fi
    if [ -e "$out/done/$name" ]; then
        log "$name: done before"
        [ "$(cat "$out/done/$name")" != 1 ] || wrong=1
        return
    fi
    left=$limit
    [ -z "$minutes" ] || left=$((minutes * 60 - ($(date +%s) - begun)))
    if [ "$left" -lt 180 ] && [ $quick = 0 ]; then
        log "$name: no time left; start again to go on"
        return
    fi
    [ "$left" -ge "$whole" ] && left=$whole
    limit=$left
    sizes
    "$@" >"$out/$name.txt" 2>"$out/$name.err"
    status=$?
    limit=$whole
    [ -s "$out/$name.err" ] || rm -f "$out/$name.err"
    case $status in
    0) log "$name: done" ;;
    77 | 3) log "$name: not here: $(tail -n 1 "$out/$name.txt") $(tail -n 1 "$out/$name.err" 2>/dev/null)" ;;
    1) log "$name: WRONG: $(tail -n 1 "$out/$name.err" 2>/dev/null)"; wrong=1 ;;
    124)
        log "$name: ended after $left s; what it had written stays"
        [ "$left" -eq "$whole" ] || { pack; return; } ;; # next time with all of its time
    *) log "$name: status $status: $(tail -n 1 "$out/$name.err" 2>/dev/null)"; failed=1; pack; return ;;
    esac
    echo "$status" >"$out/done/$name"
    pack
}

whole=480
limit=$whole
failed=0
gpu=0
engines=cpu,opencl-unfused,opencl-fused,opencl-decode
"$clattn" devices --json >"$out/devices.json" 2>"$out/devices.err" || fail "clattn does not start: $(cat "$out/devices.err")"
rm -f "$out/devices.err"
grep -q '"kind": "opencl-gpu"' "$out/devices.json" && gpu=1 engines=opencl-unfused,opencl-fused,opencl-decode
grep -q '"kind": "opencl-' "$out/devices.json" || engines=cpu
select=
[ -z "$device" ] || select="--device $device"
[ -z "$device" ] || engines=$(echo "$engines" | sed 's/^cpu,//')

run probe stage_probe
for engine in $(echo "$engines" | tr , ' '); do
    run "verify-$engine" stage_verify "$engine"
done
if [ $quick = 1 ]; then
    run tune-fused stage_tune "query_length=256 query_heads=2 head_dim=64"
    run sweep-fp32 stage_sweep fp32 no
else
    run tune-fused stage_tune "query_length=4096 query_heads=16 head_dim=64,128 type=fp16,fp32,bf16"
    run tune-decode stage_tune "batch=2 query_length=1 key_length=8192 query_heads=32 kv_heads=8 head_dim=128 type=fp16,fp32"
    for type in fp16 fp32 bf16; do
        run "sweep-$type" stage_sweep $type no
        run "sweep-$type-causal" stage_sweep $type yes
    done
fi
case $engines in *opencl-fused*) run bodies stage_bodies ;; esac
for engine in $(echo "$engines" | tr , ' '); do
    run "gradients-$engine" stage_gradients "$engine"
done
run training stage_training
run models stage_models
run decode stage_decode
run peers stage_peers forward
run peers-backward stage_peers backward
rm -rf "$out/vendors"
log "results: $out/results.tar.gz"
[ $wrong = 0 ] || exit 1
[ $failed = 0 ] || exit 2
