#!/bin/sh
# Writes the seeds of every fuzz harness: small inputs, good and bad, from which changes start; and a list of words that
# libFuzzer puts into inputs.
#   sh seeds.sh FOLDER GOLDEN        one folder a harness below FOLDER, FOLDER/words.dict; GOLDEN: .npy files for tests
set -eu
out=$1
golden=$2

# seed HARNESS FORMAT [ARGUMENT...]: one file more, as printf writes it.
seed() {
    mkdir -p "$out/$1"
    count=$(find "$out/$1" -type f | wc -l)
    place=$out/$1/$(printf '%02d' $((count)))
    shift
    # shellcheck disable=SC2059 # the format is the seed
    printf "$@" >"$place"
}

rm -rf "$out"

# npy: version, length of the header, header, data
seed npy '\223NUMPY\001\000\073\000{"descr": "<f4", "fortran_order": False, "shape": (2, 1)} \n12345678'
seed npy '\223NUMPY\002\000\060\000\000\000{"shape":(3,),"fortran_order":False,"descr":"|b1"}abc'
seed npy "\\223NUMPY\\001\\000\\073\\000{'descr': '>i8', 'fortran_order': True, 'shape': (), }     \\n12345678"
seed npy "\\223NUMPY\\001\\000\\100\\000{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,)}\\n"
seed npy 'no array'
for name in causal_top_left_output a_query; do
    [ "$(wc -c <"$golden/$name.npy")" -le 8000 ] && cp "$golden/$name.npy" "$out/npy/"
done

# safetensors: 8 bytes of length, header, data. Lengths stay below 256.
tensors() { seed safetensors "\\$(printf '%03o' ${#1})\\000\\000\\000\\000\\000\\000\\000%s$2" "$1"; }
tensors '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' '12345678'
tensors '{"__metadata__":{"format":"pt"},"h":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},"b\u00e9":{"dtype":"BF16","shape":[],"data_offsets":[4,6]}}' 'abcdef'
tensors '{"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},"y":{"dtype":"F64","shape":[1],"data_offsets":[2,10]},"z":{"dtype":"I4","shape":[3],"data_offsets":[10,12]}}' '123456789012'
tensors '{"n":{"dtype":"I64","shape":[0,9223372036854775807],"data_offsets":[0,0]}}' ''
tensors '{}  ' ''
tensors '{"q\"\\\/\n\ud83d\ude00":{"shape":[1,1,1,1,1,1,1,1],"dtype":"U8","data_offsets":[0,1]}}' '1'
seed safetensors '\377\377\377\377\377\377\377\177{}'

seed word_vectors 'the 1 2.5 -3e-1\n. . . 4 5 6\nd\303\251j\303\240 7 8 9\n'
seed word_vectors '3 2\nthe 1 2 \na 0.418 -1e-45\r\nb 3.4028235e38 .5'
seed word_vectors '\357\273\2771 4\nword 0.25 0.125 +1.50 1e0\n'
seed word_vectors '1 99999999999\na 1\n'
seed word_vectors 'a 1 2\n\nb 1\na 3 4\n\377 1 2\n'

seed header_json '\002\001\003\005\n"na\\u00e9\\ud83d\\ude00me": 123 '
seed header_json '\000\002\001\004\000\005\n{"shape":[1,2,9223372036854775807],"a":[] }'
seed header_json '\004\004\003\002\n[9,8,7,6,5,4,3,2,1] 01 "\\q'

for number in 0 -0.418 1e-45 3.4028235e38 1.000000059604644775390625 12345678901234567890e-7 .5 7. 1E+38 7.006492321624085e-46 \
    0.00000000000000000000000000000000000000000000000000001e53 1e 0x1p3 inf 33554434.50000000000000000000000000000000000001; do
    seed float_text '%s' "$number"
done

decode='vendor,architecture,device,type,head_dim_max,threads,lanes,keys,rows,warp,note'
for harness in tuning tuning_file; do
    seed $harness '# a comment\n[attention_decode_gpu]\n%s\n*,*,*,*,64,128,8,4,8,1,a note\n*,sm_,NVIDIA H200,fp16,128,256,8,4,8,0,\n' "$decode"
    seed $harness '\357\273\277[attention_decode_gpu]\r\n%s\r\nA,B,C,fp32,64,1,2,3,4,5,old\r\n*,*,*,*,64,128,8,4,8,1,last' "$decode"
    seed $harness '[attention_fused_cpu]\nvendor,architecture,device,type,head_dim_max,tile_rows,tile_vectors,value_rows,value_vectors,block_key,item_tiles,note\n*,vector16,*,*,64,12,2,6,4,256,4,\n[attention_decode_gpu]\n%s\n' "$decode"
    seed $harness '[attention_decode_gpu]\n%s\n*,*,*,*,64,0,8,4,8,1,0\n' "$decode"
    seed $harness '[no such]\n'
    seed $harness ''
done

seed case_line 'query_length=17 head_dim=3 batch=2 query_heads=4 kv_heads=2 key_length=19 value_dim=5 type=fp16 causal=yes align=bottom_right'
seed case_line 'query_length=1,2,64..256 head_dim=32 type=fp32,bf16 window=4,open softcap=20 scale=0.125 seed=99 spread=0.1'
seed case_line 'query_length=8 head_dim=8 batch=2 mask=1,1,q,k,bits bias=k,storage alibi=yes sinks=yes key_lengths=3,8 offsets=0,4 # named: so'
seed case_line 'query_length=8 head_dim=8 weights=softmax weights_heads=0,1 weights_rows=2,3 strides=random poison=yes layout=bshd query_lengths=random'
seed case_line 'query_length=1..9223372036854775807 head_dim=1 past=3 dropout=0.1'
seed case_line 'query_length=8 head_dim=8 type=bf16 direction=forward,backward output_type=fp32 gradient_type=fp32 add=yes prefix=2'
seed case_line 'batch=4294967296 query_heads=4294967296 query_length=99999999999999999999 head_dim=-1'
seed suite '# first: the beginning\nquery_length=1,2 head_dim=4\n\n# second\nquery_length=3 head_dim=4 type=bf16\r\n'
seed suite '\357\273\277query_length=1..8 head_dim=4 # not a name: here\n##  name of many: words\nquery_length=2 head_dim=1..4\n'
seed suite 'query_length=1 head_dim=wide\n'
seed suite '# %0200d: long\nquery_length=1 head_dim=1 causal=yes,no\n' 0

for how in 0 1 2 3 4 5; do
    seed words_text '%sThe quick brown fox (jumps) over the lazy dog.\nShe sells, I said "Stop!" Then.\n\nNa\303\257ve \303\211t\303\251: \316\221\316\222 \345\255\227\n' $how
    seed words_text '%s\357\273\277a a  b\tb\302\240c\r\nd' $how
done
seed words_text '0\000\001'
seed words_text '1caf\303 \355\240\200'
seed utf8 'plain'
seed utf8 '\303\251\342\202\254\360\237\230\200e\314\201'
seed utf8 '\300\200\355\240\200\364\220\200\200\360\200\200\200\342\202'

while IFS= read -r line; do
    seed command_line '%s\n' "$line"
done <<END
help
--version
devices --json
plan query_length=16 head_dim=64 causal=yes --json --engine cpu
plan query_length=16 head_dim=64 --engine all --device 0 --blocks query=8,key=16,splits=2 --body cpu-shaped --threads 3
run query_length=2 head_dim=2 --query q.npy --key k.npy --value v.npy --output o.npy
verify query_length=1..8 head_dim=8 type=fp16,bf16 --seed 3 --cases 2 --json v.json --csv v.csv
verify --suite s.txt --engine cpu,reference
bench query_length=16 head_dim=8 --rounds 1 --seconds 1 --csv - --json b.json --plot p.svg --memory host
bench --scaling --threads 2
tune query_length=4 head_dim=8 --seconds 1 --tuning t.csv
words show --text t.txt 1
words show --positions --project --map numbers --plot m.svg The quick brown fox
words weights fox --heads 2 --dim 8 --seed 5 --json
words weights --self the --embedding he causal=yes scale=0.5
words count --tokens words --sentences marks --json
words probe The cat chased --word cat --add dog --at 1 --json
words probe The cat chased the mouse. --remove cat --plot p.svg
words predict --model m.safetensors --top 3 The quick brown
words generate --model m.safetensors --prompt The --stop fox --max 3 --temperature 1 --top-k 2 --seed 4
words neighbours --model m.safetensors fox --json
words --help
plan query_length=1 head_dim=1 --tuning /nowhere
END
seed command_line 'run --query q --key k --value v --output o --logsumexp l --json\n\223NUMPY\001\000\106\000%-69s\n12345678' \
    '{"descr": "<f4", "fortran_order": False, "shape": (1, 1, 1, 2), }'
seed command_line 'words weights 1 --vectors v.txt --text t.txt\n0 1 2\n1 1 2\n2 1 2\n'
# A header and 12 bytes of data.
model() { seed command_line "$1\\n\\$(printf '%03o' $(((${#2} - 12) % 256)))\\$(printf '%03o' $(((${#2} - 12) / 256)))\\000\\000\\000\\000\\000\\000%s" "$2"; }
model 'words predict --model m a' '{"__metadata__":{"format":"clattn words 1","tokens":"space","sentences":"lines","context":"2","dim":"1","heads":"1","blocks":"1","batch":"1","optimizer":"adam","rate":"0.1","seed":"1","validate":"0","steps":"1","steps_made":"0","vocabulary":"a\nb\n"},"embedding.weight":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]}}123456789012'
for command in predict show; do
    { printf 'words %s --model m I am\n' $command && cat "$golden/words_model.safetensors"; } >"$out/command_line/$command"
done
seed command_line 'verify --suite s.txt\n# name: x\nquery_length=1,2 head_dim=4\n'
seed command_line 'plan query_length=4 head_dim=64 --tuning t\n[attention_decode_gpu]\n%s\n*,*,*,*,64,128,8,4,8,1,\n' "$decode"
for word in batch= query_heads= kv_heads= query_length= key_length= head_dim= value_dim= past= type= causal=yes align= window= \
    scale= softcap= seed= layout=bshd allow_tf32=yes mask=1,1,q,k bias=k ,bits ,storage alibi=yes sinks=yes query_lengths= \
    key_lengths= offsets= weights=softmax weights_heads= weights_rows= strides=random poison=yes spread= dropout= page= prefix= \
    direction=backward output_type=fp32 gradient_type=fp32 add=yes .. open \
    fp16 bf16 fp64 top_left bottom_right random 9223372036854775807 \
    plan run verify bench tune words devices help count show probe predict generate neighbours --model --top --prompt --stop --max --temperature --top-k --json --csv --plot --suite --engine --device --threads \
    --blocks --body --tuning --rounds --seconds --scaling --memory --cases --query --key --value --output --logsumexp --mask --bias \
    --weights --weights-stage --text --tokens --sentences --vectors --dim --heads --embedding --self --positions --project \
    --map --word --add --remove --at x.npy x.svg x.png cpu reference opencl all none - \
    dtype shape data_offsets __metadata__ F32 F16 BF16 F64 F4 F6_E2M3 C64 '\\ud83d\\ude00' descr fortran_order False '<f4' '|b1' \
    '[attention_decode_gpu]' '[attention_fused_cpu]' '*,*,*,*,64,'; do
    printf '"%s"\n' "$word"
done >"$out/words.dict"
echo "seeds: $(find "$out" -type f | wc -l) files in $out"
