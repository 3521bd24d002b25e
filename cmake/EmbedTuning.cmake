# attn_embed_tuning(<out.c>): a rule that writes the tables of tuning.h from kernels/tuning/*.csv. Every table there is taken.
function(attn_embed_tuning out)
  file(GLOB tables CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/tuning/*.csv")
  list(JOIN tables "|" joined)
  add_custom_command(
    OUTPUT "${out}"
    COMMAND "${CMAKE_COMMAND}" "-DTABLES=${joined}" "-DOUT=${out}" -P "${PROJECT_SOURCE_DIR}/cmake/embed_tuning.cmake"
    DEPENDS ${tables} "${PROJECT_SOURCE_DIR}/cmake/embed_tuning.cmake"
    COMMENT "Embedding the tuning tables"
    VERBATIM)
endfunction()
