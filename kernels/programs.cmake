# The OpenCL programs of the library, as data: name, file, the kernels in it, and sets of defines worth a build test.
# Read by embed_kernels.cmake (which makes each one text inside the library) and by the tests. To add a program: one row.
#   attn_opencl_program(<name> <file> KERNELS <kernel>... DEFINES <one quoted string a set>...)

attn_opencl_program(gather gather.cl KERNELS gather
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(softmax_masked softmax_masked.cl KERNELS softmax_masked
  DEFINES "-DATTN_TYPE=0 -DROW_GROUP=1 -DROW_WIDTH=16" "-DATTN_TYPE=1 -DROW_GROUP=64 -DROW_WIDTH=4"
          "-DATTN_TYPE=2 -DROW_GROUP=1 -DROW_WIDTH=8")
attn_opencl_program(weighted_output weighted_output.cl KERNELS weighted_output
  DEFINES "-DATTN_TYPE=0" "-DATTN_TYPE=1" "-DATTN_TYPE=2")
attn_opencl_program(additive additive.cl KERNELS additive
  DEFINES "-DGROUP=1 -DBLOCK=64 -DVECTOR=16" "-DGROUP=64 -DBLOCK=128 -DVECTOR=4")
attn_opencl_program(additive_weights additive.cl KERNELS additive_weights
  DEFINES "-DWRITE_WEIGHTS -DGROUP=1 -DBLOCK=64 -DVECTOR=16" "-DWRITE_WEIGHTS -DGROUP=64 -DBLOCK=128 -DVECTOR=4")
