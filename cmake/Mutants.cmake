# The program with one deliberate mistake, for each line of tests/mutants/mutants.txt: `clattn verify` must catch it, or,
# where the words are "suite <name>", that suite of tests. Lines whose name begins with same_ change what no result may
# depend on: `clattn verify` must pass.
# The mistake is made in a copy of one file; the object of that copy is linked before the static library, whose own
# member of the same names is then not taken. For a header, that means every file that includes it, directly or not.
# Kernels are embedded again with the changed file in its place.
include(cmake/mutant_list.cmake)

set(CLATTN_MUTANT_LIST "${PROJECT_SOURCE_DIR}/tests/mutants/mutants.txt")

# Who includes whom, read once: the global property attn_includers_<header as it is included> lists files of host.
function(attn_read_includes)
  file(GLOB_RECURSE files RELATIVE "${PROJECT_SOURCE_DIR}/host" "${PROJECT_SOURCE_DIR}/host/*.[ch]")
  list(FILTER files EXCLUDE REGEX "^cli/")
  foreach(file IN LISTS files)
    file(STRINGS "${PROJECT_SOURCE_DIR}/host/${file}" lines REGEX "^#include [\"<]")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^#include [\"<]([^\">]*).*" "\\1" wanted "${line}")
      set_property(GLOBAL APPEND PROPERTY "attn_includers_${wanted}" "${file}")
    endforeach()
  endforeach()
endfunction()

# The library's .c files that include a header, directly or through other headers.
function(attn_find_includers header out)
  string(REGEX REPLACE "^host/(include/)?" "" header "${header}")
  set(open "${header}")
  set(seen "")
  set(sources "")
  while(open)
    list(POP_FRONT open wanted)
    list(APPEND seen "${wanted}")
    get_property(files GLOBAL PROPERTY "attn_includers_${wanted}")
    foreach(file IN LISTS files)
      string(REGEX REPLACE "^include/" "" name "${file}")
      if("host/${file}" IN_LIST CLATTN_SOURCES)
        list(APPEND sources "${PROJECT_SOURCE_DIR}/host/${file}")
      elseif(name MATCHES "\\.h$" AND NOT name IN_LIST seen)
        list(APPEND open "${name}")
      endif()
    endforeach()
  endwhile()
  list(REMOVE_DUPLICATES sources)
  set(${out} "${sources}" PARENT_SCOPE)
endfunction()

# Of the cpu engine's kernels, compiled once for each body, those of the body that the words ask for: the generic one, matrix
# tiles or pairs in portable C.
function(attn_keep_body words list)
  set(kept "${${list}}")
  if("${words}" MATCHES "^--engine cpu --body generic ")
    list(FILTER kept INCLUDE REGEX "_generic\\.c$")
  elseif("${words}" MATCHES "^--engine cpu --body portable-tiles ")
    list(FILTER kept INCLUDE REGEX "_matrix_portable\\.c$")
  elseif("${words}" MATCHES "^--engine cpu --body portable-pairs ")
    list(FILTER kept INCLUDE REGEX "_pairs_portable\\.c$")
  endif()
  if(NOT kept)
    message(FATAL_ERROR "mutants.txt: no kernels of that body: ${words}")
  endif()
  set(${list} "${kept}" PARENT_SCOPE)
endfunction()

# attn_copy_file_flags("<files of the library>" "<files that stand for them>"): each its own flags, in the same order.
function(attn_copy_file_flags originals copies)
  foreach(original copy IN ZIP_LISTS originals copies)
    get_source_file_property(options "${original}" DIRECTORY "${PROJECT_SOURCE_DIR}" COMPILE_OPTIONS)
    if(options)
      set_source_files_properties("${copy}" PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
  endforeach()
endfunction()

# Compiled in half the time: it runs for a second. A mistake may leave a variable unused; that is no reason to refuse it.
function(attn_hurry_mutant target)
  target_compile_options(${target} PRIVATE -Wno-error -O1 -g0)
  target_link_options(${target} PRIVATE LINKER:--strip-debug)
endfunction()

# A mistake in the layers, of which `clattn verify` knows nothing: the suite that the words name must fail with it.
function(attn_add_suite_mutant name suite folder sources)
  add_executable(clattn_mutant_${name} "${PROJECT_SOURCE_DIR}/tests/test_${suite}.c" ${sources})
  target_link_libraries(clattn_mutant_${name} PRIVATE clattn_test_support)
  attn_configure_suite(clattn_mutant_${name})
  attn_hurry_mutant(clattn_mutant_${name})
  set_target_properties(clattn_mutant_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${folder}")
  add_test(NAME mutant_${name} COMMAND sh "${PROJECT_SOURCE_DIR}/tests/mutants/run_suite.sh" $<TARGET_FILE:test_${suite}>
    $<TARGET_FILE:clattn_mutant_${name}>)
  set_tests_properties(mutant_${name} PROPERTIES LABELS "mutant" TIMEOUT 300)
endfunction()

function(attn_add_mutant name file words)
  # A folder for each file: a mutant that moves to another file leaves no changed copy behind where -I would find it.
  string(MAKE_C_IDENTIFIER "${file}" place)
  set(folder "${PROJECT_BINARY_DIR}/mutants/${name}/${place}")
  string(REGEX REPLACE "^host/(include/)?" "" include_path "${file}")
  set(changed "${folder}/${include_path}") # so that -I<folder> finds a changed header before the true one
  add_custom_command(
    OUTPUT "${changed}"
    COMMAND "${CMAKE_COMMAND}" "-DLIST=${CLATTN_MUTANT_LIST}" "-DNAME=${name}" "-DROOT=${PROJECT_SOURCE_DIR}"
            "-DOUT=${changed}" -P "${PROJECT_SOURCE_DIR}/cmake/mutate.cmake"
    DEPENDS "${CLATTN_MUTANT_LIST}" "${PROJECT_SOURCE_DIR}/${file}" "${PROJECT_SOURCE_DIR}/cmake/mutate.cmake"
            "${PROJECT_SOURCE_DIR}/cmake/mutant_list.cmake"
    VERBATIM)
  if(file MATCHES "^kernels/(.*)$")
    set(kernel_file "${CMAKE_MATCH_1}")
    set(sources "${folder}/kernel_sources.c")
    attn_embed_kernels("${sources}" "${kernel_file}" "${changed}")
  elseif(file MATCHES "\\.h$")
    attn_find_includers("${file}" sources)
    attn_keep_body("${words}" sources)
    attn_copy_file_flags("${sources}" "${sources}")
    set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS "${changed}")
  else()
    set(sources "${changed}")
    attn_copy_file_flags("${PROJECT_SOURCE_DIR}/${file}" "${changed}")
  endif()
  if("${words}" MATCHES "^suite ([a-z_]+)$")
    attn_add_suite_mutant(${name} ${CMAKE_MATCH_1} "${folder}" "${sources}")
    return()
  endif()
  add_executable(clattn_mutant_${name} "${PROJECT_SOURCE_DIR}/host/cli/main.c" ${sources})
  target_include_directories(clattn_mutant_${name} BEFORE PRIVATE "${folder}")
  attn_configure_internal(clattn_mutant_${name})
  attn_hurry_mutant(clattn_mutant_${name})
  target_link_libraries(clattn_mutant_${name} PRIVATE clattn_tools)
  set_target_properties(clattn_mutant_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${folder}")

  separate_arguments(words UNIX_COMMAND "${words}")
  if(name MATCHES "^same_")
    add_test(NAME mutant_${name} COMMAND clattn_mutant_${name} verify ${words})
  else()
    add_test(NAME mutant_${name} COMMAND sh "${PROJECT_SOURCE_DIR}/tests/mutants/run.sh" $<TARGET_FILE:clattn_cli>
      $<TARGET_FILE:clattn_mutant_${name}> ${words})
  endif()
  set_tests_properties(mutant_${name} PROPERTIES LABELS "mutant" TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

function(attn_add_mutants)
  attn_read_includes()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CLATTN_MUTANT_LIST}")
  file(READ "${CLATTN_MUTANT_LIST}" rest)
  set(count 0)
  while(NOT rest STREQUAL "")
    attn_next_line(rest line)
    if(line MATCHES "^[ \t]*(#|$)")
      continue()
    endif()
    attn_parse_mutant("${line}")
    if(NOT CLATTN_LAYERS AND "${mutant_words}" MATCHES "^suite ")
      continue()
    endif()
    if(NOT CLATTN_OPENCL AND "${mutant_file} ${mutant_words}" MATCHES "opencl|kernels/")
      continue()
    endif()
    attn_add_mutant("${mutant_name}" "${mutant_file}" "${mutant_words}")
    math(EXPR count "${count} + 1")
  endwhile()
  message(STATUS "Mutants: ${count}")
endfunction()
