#!/bin/sh
# Two builds of the library compute the same bits on the cpu engine: every body that the processor has, every type, the suites of
# tests/cases and random problems; on one thread and on two. For changes that shall change no result.
#
#   sh tests/release/same_bits.sh COMPARE OLD/libclattn.so NEW/libclattn.so [RANDOM]
#
# COMPARE is bin/clattn_compare of either build; RANDOM problems are drawn for each body (300). Both builds must have the same
# public structures. Exit status: 0, or 1 when a problem differs; its words are printed.
set -eu
compare=${1:?clattn_compare} old=${2:?the old library} new=${3:?the new library} random=${4:-300}
cases=$(cd "$(dirname "$0")/../cases" && pwd)
failed=0
compared=0

# same THREADS BODY SEED WORD...: the words name problems or --suite FILE.
same() {
    threads=$1 body=$2 seed=$3
    shift 3
    echo "== $body, threads: $threads"
    "$compare" "$old" "$new" --bits --threads "$threads" --bodies "$body,$body" --cases "$random" --seed "$seed" "$@" || failed=1
}

for body in generic avx2 avx512 portable-tiles amx avx512-bf16 portable-pairs; do
    if ! "$compare" "$old" "$new" --bits --bodies "$body,$body" query_length=1 head_dim=8 >/dev/null 2>&1; then
        echo "== $body: not here"
        continue
    fi
    compared=$((compared + 1))
    seed=1
    for suite in smoke dims edge features lengths masks types weights decode matrix pairs; do
        [ "$seed" = 1 ] || random=0
        same $((seed % 2 + 1)) "$body" "$seed" --suite "$cases/$suite.txt"
        seed=$((seed + 1))
    done
    random=0
    same 2 "$body" 1 query_heads=4 kv_heads=2 query_length=1,2,5,33 key_length=3000 head_dim=64,80 type=fp32,fp16,bf16,fp64
    same 1 "$body" 1 query_heads=2 query_length=1030 key_length=1100 head_dim=64 type=fp32,fp16,bf16 causal=yes,no align=bottom_right \
        softcap=0,5 mask=q,k
    same 2 "$body" 1 query_length=33,100 key_length=700 head_dim=48 value_dim=72 type=fp32,fp16,bf16,fp64 scale=0.3,1e-13 softcap=0,2
    random=${4:-300}
done
[ "$compared" -gt 0 ] || { echo "no body was compared"; failed=1; }
exit $failed
