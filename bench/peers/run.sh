#!/bin/sh
# Compares clattn with other libraries on this machine (see bench.py; --help lists its options).
#   sh bench/peers/run.sh [--venv PATH] [options of bench.py]
# The other libraries live in a virtual environment, by default clattn/peers in the user's cache folder, made on the
# first run (about 2 GB); a PATH that is there already is used as it is. clattn itself must have been built.
set -e
here=$(cd "$(dirname "$0")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/clattn/peers
count=$#
while [ "$count" -gt 0 ]; do # takes --venv out of the arguments, keeps the others in their order
    case $1 in
    --venv)
        [ "$count" -gt 1 ] || { echo "run.sh: --venv needs a path" >&2; exit 2; }
        venv=$2
        shift 2
        count=$((count - 2)) ;;
    --venv=*)
        venv=${1#--venv=}
        shift
        count=$((count - 1)) ;;
    *)
        set -- "$@" "$1"
        shift
        count=$((count - 1)) ;;
    esac
done

install() {
    "$venv.new/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

make_venv() {
    rm -rf "$venv.new"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv.new"
    install numpy onnx onnxruntime openvino filelock typing_extensions sympy networkx jinja2 fsspec setuptools
    # PyTorch without the gigabytes of CUDA where that loads (the CUDA libraries it is linked to are on the machine); else with.
    install --no-deps torch
    "$venv.new/bin/python" -c 'import torch' 2>/dev/null || install torch || echo "run.sh: going on without PyTorch" >&2
    mv "$venv.new" "$venv"
}

if [ ! -x "$venv/bin/python" ]; then
    [ ! -e "$venv" ] || { echo "run.sh: $venv is there, but no virtual environment" >&2; exit 2; }
    echo "run.sh: making $venv"
    make_venv
fi
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/bench.py" "$@"
