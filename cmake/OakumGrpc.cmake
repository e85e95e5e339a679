# SPDX-License-Identifier: Apache-2.0
# C made of .proto files while building: messages by protobuf-c, services by protoc-gen-oakum. Part
# of the CMake package OakumRpc, and used by Oakum's own build.
find_program(PROTOC protoc)
find_program(PROTOC_GEN_C protoc-gen-c)

# oakum_grpc(target a.proto b/c.proto ... [ROOT dir] [INCLUDES dir ...])
# compiles what is made of the files into `target`, which can then include "b/c.oak.h" (and with it
# "b/c.pb-c.h"). Names of files, imports and includes are relative to ROOT, which is this folder
# unless told; INCLUDES are where else imports are looked for. Files that are imported and have
# messages of their own must be among the files, or be compiled elsewhere.
function(oakum_grpc target)
  cmake_parse_arguments(G "" "ROOT" "INCLUDES" ${ARGN})
  if(NOT G_ROOT)
    set(G_ROOT ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  get_filename_component(G_ROOT ${G_ROOT} ABSOLUTE)
  set(gen ${CMAKE_CURRENT_BINARY_DIR}/${target}.grpc)
  set(files ROOT ${G_ROOT} GEN ${gen} PROTOS ${G_UNPARSED_ARGUMENTS} INCLUDES ${G_INCLUDES})
  oak_protoc_c(messages ${files})
  oak_protoc_oakum(services ${files})
  target_sources(${target} PRIVATE ${messages} ${services})
  target_include_directories(${target} SYSTEM PUBLIC $<BUILD_INTERFACE:${gen}>)
  if(TARGET Oakum::rpc)
    target_link_libraries(${target} PUBLIC Oakum::rpc)
  endif()
endfunction()

# oak_protoc_c(sources ROOT dir PROTOS a/b.proto ... [GEN dir] [INCLUDES dir ...]): messages by
# protobuf-c; `sources` are what is to be compiled. A header is included by its path below ROOT:
# "a/b.pb-c.h". GEN is where they go: gen in the build tree, unless told.
function(oak_protoc_c out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS;INCLUDES" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(command ${PROTOC} --plugin=protoc-gen-c=${PROTOC_GEN_C} --c_out=${P_GEN})
  set(sources)
  foreach(proto ${P_PROTOS})
    oak_generate(sources "${command}" GEN ${P_GEN} ROOT ${P_ROOT} PROTO ${proto}
                 INCLUDES ${P_INCLUDES} NEEDS ${P_PROTOS} SUFFIXES .pb-c.c .pb-c.h)
  endforeach()
  # Its warnings are protobuf-c's.
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-w")
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# oak_protoc_oakum(sources ...), the same: services by protoc-gen-oakum, "a/b.oak.h".
function(oak_protoc_oakum out)
  cmake_parse_arguments(P "" "ROOT;GEN" "PROTOS;INCLUDES" ${ARGN})
  if(NOT P_GEN)
    set(P_GEN ${CMAKE_BINARY_DIR}/gen)
  endif()
  set(plugin $<TARGET_FILE:Oakum::protoc-gen-oakum>)
  set(command ${PROTOC} --plugin=protoc-gen-oakum=${plugin} --oakum_out=${P_GEN})
  set(sources)
  foreach(proto ${P_PROTOS})
    oak_generate(sources "${command}" GEN ${P_GEN} ROOT ${P_ROOT} PROTO ${proto}
                 INCLUDES ${P_INCLUDES} NEEDS ${P_PROTOS} ${plugin} SUFFIXES .oak.c .oak.h)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# One rule for one file: `command` makes GEN/<stem><suffix> for each suffix. It is run again when
# one of NEEDS changes: all protos of a call, since they may import each other, and what makes them.
function(oak_generate out command)
  if(NOT PROTOC OR NOT PROTOC_GEN_C)
    message(FATAL_ERROR "protoc and protoc-gen-c are needed to make C of .proto files: Debian's "
                        "packages are protobuf-compiler and protobuf-c-compiler")
  endif()
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
