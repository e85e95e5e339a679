# SPDX-License-Identifier: Apache-2.0
# C made of .proto files in the build tree, under ${CMAKE_BINARY_DIR}/gen (or GEN).
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)

# One rule for one file: `command` makes gen/<stem><suffix> for each suffix. It is run again when
# one of the `needs` changes: all protos of a call, since they may import each other.
function(oak_generate out command)
  cmake_parse_arguments(G "" "GEN;ROOT;PROTO" "NEEDS;INCLUDES;SUFFIXES" ${ARGN})
  string(REGEX REPLACE "\\.proto$" "" stem ${G_PROTO})
  set(made)
  foreach(suffix ${G_SUFFIXES})
    list(APPEND made ${G_GEN}/${stem}${suffix})
  endforeach()
  list(TRANSFORM G_NEEDS PREPEND ${G_ROOT}/ REGEX "\\.proto$")
  list(TRANSFORM G_INCLUDES PREPEND -I)
  add_custom_command(
    OUTPUT ${made}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${G_GEN}
    COMMAND ${command} -I${G_ROOT} ${G_INCLUDES} ${G_ROOT}/${G_PROTO}
    DEPENDS ${G_NEEDS}
    WORKING_DIRECTORY ${G_ROOT}
    COMMENT "${G_PROTO}"
    VERBATIM COMMAND_EXPAND_LISTS)
  list(FILTER made INCLUDE REGEX "\\.c$")
  set(${out} ${${out}} ${made} PARENT_SCOPE)
endfunction()

# oak_protoc_c(sources ROOT dir PROTOS a/b.proto ... INCLUDES dir ...): messages by protobuf-c;
# `sources` are what is to be compiled. A header is included by its path below ROOT: "a/b.pb-c.h".
function(oak_protoc_c out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS;INCLUDES" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(sources)
  foreach(proto ${P_PROTOS})
    oak_generate(sources "${PROTOC_C};--c_out=${P_GEN}" GEN ${P_GEN} ROOT ${P_ROOT} PROTO ${proto}
                 INCLUDES ${P_INCLUDES} NEEDS ${P_PROTOS} SUFFIXES .pb-c.c .pb-c.h)
  endforeach()
  # Not made by us, and not ours to make tidy.
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-w")
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# oak_protoc_oakum(sources ROOT dir PROTOS a/b.proto ...): services by our own plugin, "a/b.oak.h".
function(oak_protoc_oakum out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS;INCLUDES" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(sources)
  set(plugin --plugin=protoc-gen-oakum=$<TARGET_FILE:protoc-gen-oakum>)
  foreach(proto ${P_PROTOS})
    oak_generate(sources "${PROTOC};${plugin};--oakum_out=${P_GEN}" GEN ${P_GEN} ROOT ${P_ROOT}
                 PROTO ${proto} INCLUDES ${P_INCLUDES} NEEDS ${P_PROTOS} protoc-gen-oakum
                 SUFFIXES .oak.c .oak.h)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
