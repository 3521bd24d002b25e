# A static library that shows the public names alone. The compiler hides all others, but an archive of many objects cannot
# hide what one of them takes from another: a program with a function attn_allocate() of its own would clash, or, worse,
# be called. So the objects are joined into one whose hidden names are then made local.
#
# Where that cannot be done (another linker than GNU's or LLVM's, link-time optimisation, sanitizers, a generator of several
# configurations) the archive holds the objects as they are, and CLATTN_STATIC_JOINED is off.
set(CLATTN_STATIC_JOINED OFF)
get_property(several_configurations GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
string(TOUPPER "CMAKE_C_FLAGS_${CMAKE_BUILD_TYPE}" build_type_flags)
if(UNIX AND NOT APPLE AND CMAKE_OBJCOPY AND CMAKE_C_COMPILER_ID MATCHES "GNU|Clang" AND NOT CLATTN_SANITIZE AND
   NOT several_configurations AND NOT CMAKE_INTERPROCEDURAL_OPTIMIZATION AND
   NOT "${CMAKE_C_FLAGS} ${${build_type_flags}}" MATCHES "-flto|-fsanitize|-fprofile|--coverage")
  set(CLATTN_STATIC_JOINED ON)
endif()

# attn_add_static(<target> <target of objects>)
function(attn_add_static target objects)
  if(NOT CLATTN_STATIC_JOINED)
    add_library(${target} STATIC $<TARGET_OBJECTS:${objects}>)
    return()
  endif()
  set(joined "${CMAKE_CURRENT_BINARY_DIR}/${target}.o")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_C_FLAGS}") # the machine, where it is not the compiler's own
  add_custom_command(OUTPUT "${joined}"
    COMMAND "${CMAKE_C_COMPILER}" ${flags} -r -nostdlib -o "${joined}" $<TARGET_OBJECTS:${objects}>
    COMMAND "${CMAKE_OBJCOPY}" --localize-hidden "${joined}"
    DEPENDS ${objects} $<TARGET_OBJECTS:${objects}>
    COMMENT "Joining the objects of ${target}" COMMAND_EXPAND_LISTS VERBATIM)
  add_library(${target} STATIC "${joined}")
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
endfunction()
