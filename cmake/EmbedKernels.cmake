# attn_embed_kernels(<out.c> [<file> <changed file>]): a rule that writes the table of kernel_sources.h from
# kernels/programs.cmake. With the optional pair, one kernel file is swapped for a changed copy.
function(attn_embed_kernels out)
  set(replace "")
  set(replace_dependency "")
  if(ARGC GREATER 1)
    set(replace "-DREPLACE_FILE=${ARGV1}" "-DREPLACE_BY=${ARGV2}")
    set(replace_dependency "${ARGV2}")
  endif()
  add_custom_command(
    OUTPUT "${out}"
    COMMAND "${CMAKE_COMMAND}" "-DPROGRAMS=${PROJECT_SOURCE_DIR}/kernels/programs.cmake"
            "-DROOT=${PROJECT_SOURCE_DIR}/kernels" "-DOUT=${out}" "-DDEPFILE=${out}.d" ${replace}
            -P "${PROJECT_SOURCE_DIR}/cmake/embed_kernels.cmake"
    DEPENDS "${PROJECT_SOURCE_DIR}/kernels/programs.cmake" "${PROJECT_SOURCE_DIR}/cmake/embed_kernels.cmake"
            ${replace_dependency}
    DEPFILE "${out}.d"
    COMMENT "Embedding the OpenCL kernels"
    VERBATIM)
endfunction()
