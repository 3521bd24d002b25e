# The program with one deliberate mistake, for each line of tests/mutants/mutants.txt: `clattn verify` must catch it.
# The mistake is made in a copy of one file; the object of that copy is linked before the static library, whose own
# member of the same names is then not taken. Kernels are embedded again with the changed file in its place.
include(cmake/mutant_list.cmake)

set(CLATTN_MUTANT_LIST "${PROJECT_SOURCE_DIR}/tests/mutants/mutants.txt")

function(attn_add_mutant name file words)
  set(folder "${PROJECT_BINARY_DIR}/mutants/${name}")
  cmake_path(GET file FILENAME file_name)
  set(changed "${folder}/${file_name}")
  add_custom_command(
    OUTPUT "${changed}"
    COMMAND "${CMAKE_COMMAND}" "-DLIST=${CLATTN_MUTANT_LIST}" "-DNAME=${name}" "-DROOT=${PROJECT_SOURCE_DIR}"
            "-DOUT=${changed}" -P "${PROJECT_SOURCE_DIR}/cmake/mutate.cmake"
    DEPENDS "${CLATTN_MUTANT_LIST}" "${PROJECT_SOURCE_DIR}/${file}" "${PROJECT_SOURCE_DIR}/cmake/mutate.cmake"
            "${PROJECT_SOURCE_DIR}/cmake/mutant_list.cmake"
    VERBATIM)
  if(file MATCHES "^kernels/(.*)$")
    set(kernel_file "${CMAKE_MATCH_1}")
    set(source "${folder}/kernel_sources.c")
    attn_embed_kernels("${source}" "${kernel_file}" "${changed}")
  else()
    set(source "${changed}")
    cmake_path(GET file PARENT_PATH own_folder)
    get_source_file_property(options "${PROJECT_SOURCE_DIR}/${file}" DIRECTORY "${PROJECT_SOURCE_DIR}" COMPILE_OPTIONS)
  endif()
  add_executable(clattn_mutant_${name} "${PROJECT_SOURCE_DIR}/host/cli/main.c" "${source}")
  attn_configure_internal(clattn_mutant_${name})
  target_include_directories(clattn_mutant_${name} PRIVATE "${PROJECT_SOURCE_DIR}/${own_folder}")
  if(options)
    set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "${options}")
  endif()
  # A mistake may leave a variable unused; that is no reason to refuse it.
  target_compile_options(clattn_mutant_${name} PRIVATE -Wno-error)
  target_link_libraries(clattn_mutant_${name} PRIVATE clattn_tools)
  set_target_properties(clattn_mutant_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${folder}")

  separate_arguments(words UNIX_COMMAND "${words}")
  add_test(NAME mutant_${name} COMMAND sh "${PROJECT_SOURCE_DIR}/tests/mutants/run.sh" $<TARGET_FILE:clattn_cli>
    $<TARGET_FILE:clattn_mutant_${name}> ${words})
  set_tests_properties(mutant_${name} PROPERTIES LABELS "mutant" TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

function(attn_add_mutants)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CLATTN_MUTANT_LIST}")
  file(READ "${CLATTN_MUTANT_LIST}" rest)
  set(count 0)
  while(NOT rest STREQUAL "")
    attn_next_line(rest line)
    if(line MATCHES "^[ \t]*(#|$)")
      continue()
    endif()
    attn_parse_mutant("${line}")
    if(NOT CLATTN_OPENCL AND "${mutant_file} ${mutant_words}" MATCHES "opencl|kernels/")
      continue()
    endif()
    attn_add_mutant("${mutant_name}" "${mutant_file}" "${mutant_words}")
    math(EXPR count "${count} + 1")
  endwhile()
  message(STATUS "Mutants: ${count}")
endfunction()
