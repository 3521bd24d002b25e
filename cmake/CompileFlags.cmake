# Flags, and what each kind of target sees. No -ffast-math, no -ffinite-math-only: infinities mean something here. Whoever
# brings them (CFLAGS of a distribution) is refused by host/base/exact_math.h; their parts that no macro shows are undone
# at the end of the command line, and compilers that are inexact by themselves are asked to be precise.
set(CLATTN_EXACT_MATH "${PROJECT_SOURCE_DIR}/host/base/exact_math.h")
function(attn_exact_math target)
  if(CMAKE_C_COMPILER_ID STREQUAL "IntelLLVM")
    target_compile_options(${target} PRIVATE -fp-model=precise)
  endif()
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang|IntelLLVM")
    target_compile_options(${target} PRIVATE -fno-associative-math -fno-reciprocal-math -fsigned-zeros
      "SHELL:-include \"${CLATTN_EXACT_MATH}\"")
    # Not for clang: there it asks for strict exceptions too, under which clang 14 compares vectors wrongly.
    target_compile_options(${target} PRIVATE $<$<C_COMPILER_ID:GNU>:-fno-unsafe-math-optimizations>)
  elseif(MSVC)
    target_compile_options(${target} PRIVATE /fp:precise "/FI${CLATTN_EXACT_MATH}")
  endif()
endfunction()

set(CLATTN_WARNINGS -Wall -Wextra -Wpedantic $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    -Wvla)

# Products and sums are contracted (a fused multiply-add) only where a file asks for it below, so that the reference and
# the plain loops mean what they say with every compiler.
function(attn_compile_flags target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  attn_exact_math(${target})
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang|IntelLLVM")
    target_compile_options(${target} PRIVATE ${CLATTN_WARNINGS} -fno-math-errno -ffp-contract=off)
    # gcc 12 at -O3 loses one comparison of `strcmp(text, table[i]) == 0` in an unrolled loop over constant strings.
    target_compile_options(${target} PRIVATE $<$<C_COMPILER_ID:GNU>:-fno-optimize-strlen>)
    if(CLATTN_WERROR)
      target_compile_options(${target} PRIVATE -Werror)
    endif()
  endif()
  if(CLATTN_LIBFUZZER) # counts which branches are taken
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  if(CLATTN_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${CLATTN_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${CLATTN_SANITIZE})
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # instrumented code hides ranges from this warning
      target_compile_options(${target} PRIVATE -Wno-format-truncation)
    endif()
  endif()
endfunction()

# The library's own objects: internal headers, internal dependencies.
function(attn_configure_internal target)
  attn_compile_flags(${target})
  # The last one for kernels/include, which kernels share with the OpenCL engines.
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/host" "${PROJECT_SOURCE_DIR}/host/include"
    "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE Threads::Threads)
  if(CLATTN_OPENCL)
    target_compile_definitions(${target} PRIVATE CLATTN_HAVE_OPENCL=1 CL_TARGET_OPENCL_VERSION=120)
    target_link_libraries(${target} PRIVATE OpenCL::OpenCL)
  endif()
  if(CLATTN_CLBLAST)
    target_compile_definitions(${target} PRIVATE CLATTN_HAVE_CLBLAST=1)
    target_link_libraries(${target} PRIVATE ${CLATTN_CLBLAST_TARGET})
  endif()
endfunction()

# What a user of the library gets: the public headers, and OpenCL for clattn_opencl.h. How the library's own
# dependencies are linked is PUBLIC for the static library (its user links them) and PRIVATE for the shared one.
function(attn_configure_public target scope)
  attn_compile_flags(${target})
  target_include_directories(${target} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/host/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_link_libraries(${target} PRIVATE Threads::Threads $<$<NOT:$<BOOL:${WIN32}>>:m>)
  if(CLATTN_OPENCL)
    target_link_libraries(${target} PUBLIC OpenCL::OpenCL)
    target_compile_definitions(${target} INTERFACE CLATTN_HAVE_OPENCL=1)
  endif()
  if(CLATTN_CLBLAST)
    target_link_libraries(${target} PRIVATE ${CLATTN_CLBLAST_TARGET})
  endif()
  if(target STREQUAL "clattn" AND WIN32)
    target_compile_definitions(${target} INTERFACE CLATTN_SHARED=1)
  endif()
endfunction()

# The layers: the public headers, and the library of the same kind below them.
function(attn_configure_layers target below)
  attn_compile_flags(${target})
  target_link_libraries(${target} PUBLIC ${below} PRIVATE $<$<NOT:$<BOOL:${WIN32}>>:m>)
  target_compile_definitions(${target} INTERFACE CLATTN_HAVE_LAYERS=1)
endfunction()

# The program's parts: public headers only, and the optional libraries that no one else needs.
function(attn_configure_tools target)
  attn_compile_flags(${target})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/host/cli"
    PRIVATE "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${target} PUBLIC clattn_internal PRIVATE Threads::Threads $<$<NOT:$<BOOL:${WIN32}>>:m>)
  if(CLATTN_LAYERS)
    target_link_libraries(${target} PUBLIC clattn_layers_internal)
  endif()
  if(PNG_FOUND)
    target_compile_definitions(${target} PRIVATE CLATTN_HAVE_PNG=1)
    target_link_libraries(${target} PRIVATE PkgConfig::PNG)
  endif()
  if(SENTENCEPIECE_FOUND)
    target_compile_definitions(${target} PRIVATE CLATTN_HAVE_SENTENCEPIECE=1)
    target_link_libraries(${target} PRIVATE PkgConfig::SENTENCEPIECE)
  endif()
endfunction()

# Files with flags of their own: the CPU kernels want fused multiply-adds (-Wno-psabi: vectors are passed only inside a
# file), and each instruction set its own. To add one: <folder>/<kernel>_<set>.c, and a line here.
function(attn_file_flags)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "GNU|Clang|IntelLLVM")
    return()
  endif()
  foreach(kernel IN ITEMS cpu/isa/cpu additive/additive_cpu linear/linear_cpu)
    set(file "host/engines/${kernel}")
    set_property(SOURCE ${file}_generic.c ${file}_avx2.c ${file}_avx512.c APPEND PROPERTY COMPILE_OPTIONS
      -ffp-contract=fast -Wno-psabi)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
      set_property(SOURCE ${file}_avx2.c APPEND PROPERTY COMPILE_OPTIONS -mavx2 -mfma -mf16c)
      set_property(SOURCE ${file}_avx512.c APPEND PROPERTY COMPILE_OPTIONS
        -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
    endif()
  endforeach()
  # Units for bf16. A compiler that does not know AMX or AVX512-BF16 leaves that file empty, and the engine goes without.
  set(matrix "host/engines/cpu/matrix/cpu_matrix")
  set(pairs "host/engines/cpu/pairs/cpu_pairs")
  set_property(SOURCE ${matrix}_amx.c ${matrix}_portable.c ${pairs}_avx512.c ${pairs}_portable.c APPEND PROPERTY
    COMPILE_OPTIONS -ffp-contract=fast -Wno-psabi)
  check_c_compiler_flag("-mamx-tile -mamx-bf16 -mavx512bf16" CLATTN_COMPILER_AMX)
  if(CLATTN_COMPILER_AMX AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set_property(SOURCE ${matrix}_amx.c APPEND PROPERTY COMPILE_OPTIONS
      -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mamx-tile -mamx-bf16 -mfma -mf16c
      -mprefer-vector-width=512)
  endif()
  check_c_compiler_flag("-mavx512bf16" CLATTN_COMPILER_AVX512_BF16)
  if(CLATTN_COMPILER_AVX512_BF16 AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set_property(SOURCE ${pairs}_avx512.c APPEND PROPERTY COMPILE_OPTIONS
      -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mfma -mf16c -mprefer-vector-width=512)
  endif()
  # gcc aligns what it puts on the address sanitizer's own stack to 32 bytes, and reads it as if to 64 (GCC bug 110027).
  if(CLATTN_SANITIZE MATCHES "address" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set_property(SOURCE host/engines/cpu/isa/cpu_avx512.c host/engines/additive/additive_cpu_avx512.c
      host/engines/linear/linear_cpu_avx512.c ${matrix}_amx.c ${pairs}_avx512.c APPEND PROPERTY COMPILE_OPTIONS --param=asan-use-after-return=0)
  endif()
  # Fuzzers look at readers of bytes. Kernels read none, and take minutes to compile with sanitizers.
  if(CLATTN_LIBFUZZER)
    file(GLOB kernels RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/host/engines/*/*_cpu_*.c"
      "${PROJECT_SOURCE_DIR}/host/engines/cpu/*/cpu_*.c")
    list(FILTER kernels EXCLUDE REGEX "_path\\.c$")
    set_property(SOURCE ${kernels} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=all)
  endif()
  # What the benchmark compares with: plain loops, compiled plainly.
  set_property(SOURCE host/cli/gate/plain.c APPEND PROPERTY COMPILE_OPTIONS -O2)
  set_property(SOURCE host/cli/bench/fma_probe.c APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=fast)
endfunction()
attn_file_flags()
