#!/bin/sh
# The matrix product of clattn_linear.h beside OpenBLAS, BLIS and oneDNN, on 1 and 2 threads: at most three minutes.
#
#   sh bench/linear/run.sh [--csv FILE] [--build DIR] [--threads N] [--note TEXT] [openblas=PATH] [blis=PATH] [onednn=PATH]
#
# Builds what it times in DIR (build/release). A library that is not named is taken where the system has it, or else from
# Debian's package, which is unpacked below DIR and not installed; one that cannot be had is left out. --threads: the
# larger number (2). --note: what is to be said of the machine, e.g. that it was shared. Everything is appended to FILE.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/release
csv=
threads=2
note=
libraries=
while [ $# -gt 0 ]; do
    case $1 in
    --csv) csv=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --note) note=$2; shift 2 ;;
    openblas=* | blis=* | onednn=*) libraries="$libraries $1"; shift ;;
    *) sed -n '4p' "$0" >&2; exit 2 ;;
    esac
done
[ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$build" --target clattn_linear_bench >&2

# find NAME FILE PACKAGE...: NAME=PATH of a library, unless the command line named it.
find_library() {
    name=$1 file=$2
    shift 2
    case " $libraries" in *" $name="*) return ;; esac
    path=$(ldconfig -p 2>/dev/null | awk -v file="$file" 'index($1, file) == 1 { print $NF; exit }')
    place=$build/linear-libraries
    for package in "$@"; do
        [ -z "$path" ] || break
        mkdir -p "$place/$package"
        (cd "$place/$package" && { [ -d usr ] || { apt-get -q download "$package" && dpkg-deb -x ./*.deb .; }; }) \
            >/dev/null 2>&1 || continue
        path=$(find "$place/$package/usr/lib" -name "$file*" | head -n 1)
    done
    if [ -n "$path" ]; then
        libraries="$libraries $name=$path"
    else
        echo "$name is not to be had here, and left out" >&2
    fi
}
find_library openblas libopenblas.so.0 libopenblas0-pthread
find_library blis libblis.so.4 libblis4-pthread
find_library onednn libdnnl.so. libdnnl2 libdnnl3 libdnnl3.6

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
commit=$(git -C "$root" log -1 --format=%h -- host 2>/dev/null || echo unknown)
git -C "$root" diff --quiet HEAD -- host 2>/dev/null || commit=$commit+
facts="$(date +%F),$commit,\"$processor\",\"$note\",sh bench/linear/run.sh"
[ -n "$csv" ] || csv=$build/linear.csv
[ -s "$csv" ] || echo "date,commit,processor,note,command,threads,rows,in_dim,out_dim,instructions,product,version_and_kernels,gflops,probe_gflops,of_probe,of_probe_least,of_probe_most,of_clattn" >"$csv"
for count in $(printf '%s\n' 1 "$threads" | uniq); do
    # shellcheck disable=SC2086 # words
    "$build/bin/clattn_linear_bench" "$csv" "$facts" "$count" $libraries
done
echo "written to $csv"
