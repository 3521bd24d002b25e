# The OpenCL programs of the library, as data: name, file, the kernels in it, and sets of defines worth a build test.
# Read by embed_kernels.cmake (which makes each one text inside the library) and by the tests. To add a program: one row.
#   attn_opencl_program(<name> <file> KERNELS <kernel>... DEFINES <one quoted string a set>...)

attn_opencl_program(gather gather.cl KERNELS gather
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(local_probe local_probe.cl KERNELS local_probe DEFINES "-DBYTES=16384")
attn_opencl_program(softmax_masked softmax_masked.cl KERNELS softmax_masked
  DEFINES "-DATTN_TYPE=0 -DROW_GROUP=1 -DROW_WIDTH=16" "-DATTN_TYPE=1 -DROW_GROUP=64 -DROW_WIDTH=4"
          "-DATTN_TYPE=2 -DROW_GROUP=1 -DROW_WIDTH=8")
attn_opencl_program(dropout_mask dropout_mask.cl KERNELS dropout_mask DEFINES "")
attn_opencl_program(weighted_output weighted_output.cl KERNELS weighted_output
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(gradient_delta gradient_delta.cl KERNELS gradient_delta
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(gradient_rows gradient_rows.cl KERNELS gradient_rows
  DEFINES "-DATTN_TYPE=0 -DGROUP=1" "-DATTN_TYPE=1 -DGROUP=64" "-DATTN_TYPE=2 -DGROUP=64")
attn_opencl_program(gradient_bias gradient_bias.cl KERNELS gradient_bias
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(gradient_store gradient_store.cl KERNELS gradient_store
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(backward_scores backward_scores.cl KERNELS backward_scores
  DEFINES "-DATTN_TYPE=0 -DROW_GROUP=1 -DROW_WIDTH=16" "-DATTN_TYPE=1 -DROW_GROUP=64 -DROW_WIDTH=4"
          "-DATTN_TYPE=2 -DROW_GROUP=1 -DROW_WIDTH=8")
attn_opencl_program(backward_repair backward_repair.cl KERNELS backward_repair
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(additive additive.cl KERNELS additive
  DEFINES "-DGROUP=1 -DBLOCK=64 -DVECTOR=16" "-DGROUP=64 -DBLOCK=128 -DVECTOR=4")
attn_opencl_program(additive_weights additive.cl KERNELS additive_weights
  DEFINES "-DWRITE_WEIGHTS -DGROUP=1 -DBLOCK=64 -DVECTOR=16" "-DWRITE_WEIGHTS -DGROUP=64 -DBLOCK=128 -DVECTOR=4")
attn_opencl_program(attention_pack attention_pack.cl KERNELS attention_pack
  DEFINES "-DATTN_TYPE=0 -DVECTOR=16 -DTILE_ROWS=12 -DTILE_VECTORS=2" "-DATTN_TYPE=1 -DVECTOR=8 -DTILE_ROWS=6 -DTILE_VECTORS=2"
          "-DATTN_TYPE=2 -DVECTOR=4 -DTILE_ROWS=6 -DTILE_VECTORS=2")
attn_opencl_program(attention_fused_cpu attention_fused_cpu.cl KERNELS attention_fused_cpu
  DEFINES
  "-DATTN_TYPE=0 -DVECTOR=16 -DTILE_ROWS=12 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=4 -DBLOCK_KEY=256 -DITEM_TILES=4 -DDIM_MAX=64"
  "-DATTN_TYPE=1 -DVECTOR=8 -DTILE_ROWS=6 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=2 -DBLOCK_KEY=256 -DITEM_TILES=8 -DDIM_MAX=128"
  "-DATTN_TYPE=2 -DVECTOR=4 -DTILE_ROWS=6 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=2 -DBLOCK_KEY=256 -DITEM_TILES=4 -DDIM_MAX=576")
attn_opencl_program(attention_fused_gpu attention_fused_gpu.cl KERNELS attention_fused_gpu
  DEFINES
  "-DATTN_TYPE=0 -DBLOCK_QUERY=64 -DBLOCK_KEY=64 -DTHREADS_X=8 -DTHREADS_Y=16 -DSLICE=64 -DKEEP_QUERY=1 -DVALUE_VECTORS=1 -DDIM=64 -DSUBGROUP_SHUFFLE=0"
  "-DATTN_TYPE=1 -DBLOCK_QUERY=32 -DBLOCK_KEY=32 -DTHREADS_X=8 -DTHREADS_Y=8 -DSLICE=16 -DKEEP_QUERY=0 -DVALUE_VECTORS=1 -DDIM=64 -DSUBGROUP_SHUFFLE=0"
  "-DATTN_TYPE=2 -DBLOCK_QUERY=64 -DBLOCK_KEY=64 -DTHREADS_X=8 -DTHREADS_Y=16 -DSLICE=32 -DKEEP_QUERY=0 -DVALUE_VECTORS=2 -DDIM=128 -DSUBGROUP_SHUFFLE=0")
attn_opencl_program(attention_fused_mma attention_fused_mma.cl KERNELS attention_fused_mma
  DEFINES
  "-DATTN_TYPE=1 -DBLOCK_QUERY=32 -DBLOCK_KEY=32 -DWARPS=2 -DSTAGES=2 -DLAZY=1 -DDIM=64 -DKEYWISE=0 -DWARP_TILE_NVIDIA=0"
  "-DATTN_TYPE=2 -DBLOCK_QUERY=32 -DBLOCK_KEY=16 -DWARPS=2 -DSTAGES=1 -DLAZY=0 -DDIM=128 -DKEYWISE=1 -DWARP_TILE_NVIDIA=0")
attn_opencl_program(attention_fused_tf32 attention_fused_tf32.cl KERNELS attention_fused_tf32
  DEFINES
  "-DBLOCK_QUERY=32 -DBLOCK_KEY=16 -DWARPS=2 -DSTAGES=1 -DQUERY_KEPT=1 -DDIM=64 -DKEYWISE=0 -DWARP_TILE_NVIDIA=0"
  "-DBLOCK_QUERY=16 -DBLOCK_KEY=64 -DWARPS=1 -DSTAGES=2 -DQUERY_KEPT=0 -DDIM=32 -DKEYWISE=1 -DWARP_TILE_NVIDIA=0")
attn_opencl_program(attention_decode_cpu attention_decode_cpu.cl KERNELS attention_decode_cpu
  DEFINES
  "-DATTN_TYPE=0 -DVECTOR=16 -DTILE_ROWS=4 -DTILE_VECTORS=2 -DTILE_STEP=4 -DBLOCK_KEY=64 -DITEM_ROWS=4 -DDIM_MAX=128"
  "-DATTN_TYPE=1 -DVECTOR=8 -DTILE_ROWS=4 -DTILE_VECTORS=2 -DTILE_STEP=2 -DBLOCK_KEY=64 -DITEM_ROWS=16 -DDIM_MAX=64"
  "-DATTN_TYPE=2 -DVECTOR=4 -DTILE_ROWS=4 -DTILE_VECTORS=2 -DTILE_STEP=2 -DBLOCK_KEY=64 -DITEM_ROWS=16 -DDIM_MAX=576")
attn_opencl_program(attention_decode_gpu attention_decode_gpu.cl KERNELS attention_decode_gpu
  DEFINES "-DATTN_TYPE=0 -DTHREADS=128 -DLANES=32 -DKEYS=4 -DROWS=4 -DDIM=128 -DWARP=0"
          "-DATTN_TYPE=1 -DTHREADS=64 -DLANES=8 -DKEYS=2 -DROWS=1 -DDIM=64 -DWARP=0"
          "-DATTN_TYPE=2 -DTHREADS=128 -DLANES=32 -DKEYS=1 -DROWS=16 -DDIM=576 -DWARP=0")
attn_opencl_program(attention_merge attention_merge.cl KERNELS attention_merge
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(attention_repair attention_repair.cl KERNELS attention_repair
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(attention_backward_gpu attention_backward_gpu.cl KERNELS attention_backward_gpu
  DEFINES
  "-DATTN_TYPE=0 -DPASS_KEYS=0 -DBLOCK_QUERY=64 -DBLOCK_KEY=64 -DWALK=32 -DTHREADS_X=8 -DTHREADS_Y=16 -DSLICE=32 -DVALUE_VECTORS=2 -DDIM=64 -DSUBGROUP_SHUFFLE=0"
  "-DATTN_TYPE=1 -DATTN_GRADIENT_FP32=1 -DPASS_KEYS=1 -DBLOCK_QUERY=32 -DBLOCK_KEY=32 -DWALK=32 -DTHREADS_X=8 -DTHREADS_Y=8 -DSLICE=16 -DVALUE_VECTORS=1 -DDIM=64 -DSUBGROUP_SHUFFLE=0"
  "-DATTN_TYPE=2 -DATTN_OUTPUT_TYPE=0 -DPASS_KEYS=1 -DBLOCK_QUERY=32 -DBLOCK_KEY=32 -DWALK=16 -DTHREADS_X=8 -DTHREADS_Y=8 -DSLICE=16 -DVALUE_VECTORS=1 -DDIM=128 -DSUBGROUP_SHUFFLE=0")
attn_opencl_program(gradient_deltas gradient_deltas.cl KERNELS gradient_deltas
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2 -DATTN_OUTPUT_TYPE=0")
attn_opencl_program(gradient_pairs gradient_pairs.cl KERNELS gradient_pairs
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1 -DATTN_OUTPUT_TYPE=0" "-DATTN_TYPE=2")
attn_opencl_program(gradient_sinks gradient_sinks.cl KERNELS gradient_sinks DEFINES "-DATTN_TYPE=0")
attn_opencl_program(gradient_sum gradient_sum.cl KERNELS gradient_sum
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(gradient_repair gradient_repair.cl KERNELS gradient_repair
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1 -DATTN_GRADIENT_FP32=1" "-DATTN_TYPE=2 -DATTN_OUTPUT_TYPE=0")
attn_opencl_program(backward_pack backward_pack.cl KERNELS backward_pack
  DEFINES "-DATTN_TYPE=0 -DPASS_KEYS=0 -DVECTOR=16 -DTILE_ROWS=1 -DTILE_VECTORS=2"
          "-DATTN_TYPE=1 -DPASS_KEYS=1 -DVECTOR=8 -DTILE_ROWS=1 -DTILE_VECTORS=2"
          "-DATTN_TYPE=2 -DATTN_OUTPUT_TYPE=0 -DPASS_KEYS=1 -DVECTOR=4 -DTILE_ROWS=1 -DTILE_VECTORS=2")
attn_opencl_program(attention_backward_cpu attention_backward_cpu.cl KERNELS attention_backward_cpu
  DEFINES
  "-DATTN_TYPE=0 -DPASS_KEYS=0 -DVECTOR=16 -DTILE_ROWS=12 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=4 -DWALK=128 -DITEM_TILES=4 -DDIM_MAX=64"
  "-DATTN_TYPE=1 -DATTN_GRADIENT_FP32=1 -DPASS_KEYS=1 -DVECTOR=8 -DTILE_ROWS=6 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=2 -DWALK=128 -DITEM_TILES=4 -DDIM_MAX=128"
  "-DATTN_TYPE=2 -DATTN_OUTPUT_TYPE=0 -DPASS_KEYS=0 -DVECTOR=4 -DTILE_ROWS=6 -DTILE_VECTORS=2 -DVALUE_ROWS=6 -DVALUE_VECTORS=2 -DWALK=128 -DITEM_TILES=2 -DDIM_MAX=576")
