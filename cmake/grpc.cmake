# SPDX-License-Identifier: Apache-2.0
# C made of .proto files in the build tree, under ${CMAKE_BINARY_DIR}/gen (or GEN).
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)

# One rule for one file: `command...` makes gen/<stem><suffix> for each suffix; the rule waits for
# all protos of the call, which may import each other.
function(oak_generate out gen root proto needs command)
  cmake_parse_arguments(G "" "" "SUFFIXES" ${ARGN})
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  set(made)
  foreach(suffix ${G_SUFFIXES})
    list(APPEND made ${gen}/${stem}${suffix})
  endforeach()
  list(TRANSFORM needs PREPEND ${root}/ REGEX "\\.proto$")
  add_custom_command(
    OUTPUT ${made}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${gen}
    COMMAND ${command} -I ${root} ${root}/${proto}
    DEPENDS ${needs}
    WORKING_DIRECTORY ${root}
    COMMENT "${proto}"
    VERBATIM COMMAND_EXPAND_LISTS)
  # Generated code isn't ours to make tidy.
  list(FILTER made INCLUDE REGEX "\\.c$")
  set_source_files_properties(${made} PROPERTIES COMPILE_OPTIONS "-w")
  set(${out} ${${out}} ${made} PARENT_SCOPE)
endfunction()

# oak_protoc_c(sources ROOT dir PROTOS a/b.proto ...): messages by protobuf-c; `sources` are what is
# to be compiled. Headers are included by their path below ROOT: "a/b.pb-c.h".
function(oak_protoc_c out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(sources)
  foreach(proto ${P_PROTOS})
    oak_generate(sources ${P_GEN} ${P_ROOT} ${proto} "${P_PROTOS}"
                 "${PROTOC_C};--c_out=${P_GEN}" SUFFIXES .pb-c.c .pb-c.h)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# oak_protoc_oakum(sources ROOT dir PROTOS a/b.proto ...): services by our own plugin.
function(oak_protoc_oakum out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(sources)
  set(plugin --plugin=protoc-gen-oakum=$<TARGET_FILE:protoc-gen-oakum>)
  foreach(proto ${P_PROTOS})
    oak_generate(sources ${P_GEN} ${P_ROOT} ${proto} "${P_PROTOS};protoc-gen-oakum"
                 "${PROTOC};${plugin};--oakum_out=${P_GEN}" SUFFIXES .oak.c .oak.h)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
