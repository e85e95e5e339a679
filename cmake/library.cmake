# SPDX-License-Identifier: Apache-2.0
# The libraries for others, static and shared, with headers, manual page, pkg-config file and CMake
# package: liboakum-raft, the Raft core, which stands alone, liboakum-rpc, gRPC, and on that
# liboakum-client, a client of etcd's API.
#
# Programs of this project link the rooms; nothing here is built for the bug zoo, fuzzers,
# sanitizers or coverage.
if(OAK_ZOO OR OAK_FUZZ OR OAK_SANITIZE OR OAK_COVER)
  return()
endif()

include(CMakePackageConfigHelpers)
find_program(OBJCOPY_PROGRAM objcopy REQUIRED)

# oak_library(rpc DESCRIPTION text OBJECTS $<TARGET_OBJECTS:x>... HEADERS rpc.h ... MANUAL path
#             PUBLIC libprotobuf-c PRIVATE libnghttp2 ... PROGRAMS protoc-gen-oakum MODULE x.cmake)
# makes liboakum-rpc of the objects, which are compiled for shared libraries. PUBLIC and PRIVATE are
# modules of pkg-config that its headers and its code need. PROGRAMS, and a file that its CMake
# package includes, come with it. ON is another of these libraries that it stands on; LOCAL are
# symbols of the interface of that one that its own objects have too.
function(oak_library name)
  cmake_parse_arguments(L "" "DESCRIPTION;MANUAL;MODULE;ON"
                        "OBJECTS;HEADERS;PUBLIC;PRIVATE;PROGRAMS;LOCAL" ${ARGN})
  string(SUBSTRING ${name} 0 1 first)
  string(SUBSTRING ${name} 1 -1 rest)
  string(TOUPPER ${first} first)
  set(package Oakum${first}${rest})
  set(modules ${L_PUBLIC} ${L_PRIVATE})

  # One object in which all that isn't of the interface has become local: so also the static library
  # shows nothing else, and can't clash with a name of the program it is linked into.
  set(object ${PROJECT_BINARY_DIR}/oakum-${name}.o)
  list(TRANSFORM L_LOCAL PREPEND --localize-symbol=)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${object} ${L_OBJECTS}
    COMMAND ${OBJCOPY_PROGRAM} --localize-hidden ${L_LOCAL} ${object}
    DEPENDS ${L_OBJECTS}
    COMMAND_EXPAND_LISTS VERBATIM)

  foreach(kind STATIC SHARED)
    string(TOLOWER ${kind} lower)
    set(target oakum_${name}_${lower})
    add_library(${target} ${kind} ${object})
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    set_target_properties(${target} PROPERTIES
      OUTPUT_NAME oakum-${name} LINKER_LANGUAGE C
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
      ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
    target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    foreach(module ${modules})
      pkg_check_modules(oakum_${module} REQUIRED IMPORTED_TARGET GLOBAL ${module})
      if(module IN_LIST L_PUBLIC)
        target_link_libraries(${target} PUBLIC PkgConfig::oakum_${module})
      else()
        target_link_libraries(${target} PRIVATE PkgConfig::oakum_${module})
      endif()
    endforeach()
    if(L_ON)
      target_link_libraries(${target} PUBLIC oakum_${L_ON}_${lower})
    endif()
  endforeach()
  target_link_options(oakum_${name}_shared PRIVATE LINKER:-z,defs LINKER:-z,relro LINKER:-z,now)
  # One custom command, two users: the second waits for the first.
  add_dependencies(oakum_${name}_shared oakum_${name}_static)
  set_target_properties(oakum_${name}_shared PROPERTIES EXPORT_NAME ${name})
  set_target_properties(oakum_${name}_static PROPERTIES EXPORT_NAME ${name}_static)

  # Both description files find the library by where they lie themselves, so that the prefix may be
  # chosen when it is installed, and the installed tree may be moved.
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/${package})
  file(RELATIVE_PATH OAK_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" OAK_PC_TO_PREFIX "${OAK_PC_TO_PREFIX}")
  set(OAK_NAME ${name})
  set(OAK_PACKAGE ${package})
  set(OAK_DESCRIPTION ${L_DESCRIPTION})
  set(OAK_MODULES ${modules})
  set(OAK_INCLUDE ${L_MODULE})
  string(REPLACE ";" " " OAK_REQUIRES "${L_PUBLIC}")
  set(OAK_ON)
  if(L_ON)
    string(PREPEND OAK_REQUIRES "oakum-${L_ON} ")
    string(SUBSTRING ${L_ON} 0 1 first)
    string(SUBSTRING ${L_ON} 1 -1 rest)
    string(TOUPPER ${first} first)
    set(OAK_ON Oakum${first}${rest})
  endif()
  string(REPLACE ";" " " OAK_REQUIRES_PRIVATE "${L_PRIVATE}")
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/oakum.pc.in
                 ${PROJECT_BINARY_DIR}/oakum-${name}.pc @ONLY)
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/OakumConfig.cmake.in
                 ${PROJECT_BINARY_DIR}/${package}Config.cmake @ONLY)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/${package}ConfigVersion.cmake
                                   VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)

  list(TRANSFORM L_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/include/oakum/)
  install(TARGETS oakum_${name}_static oakum_${name}_shared ${L_PROGRAMS} EXPORT ${package}
          COMPONENT library RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT library
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
          NAMELINK_COMPONENT library
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
  install(FILES ${L_HEADERS} COMPONENT library DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/oakum)
  install(EXPORT ${package} NAMESPACE Oakum:: FILE ${package}Targets.cmake COMPONENT library
          DESTINATION ${package_dir})
  install(FILES ${PROJECT_BINARY_DIR}/${package}Config.cmake
                ${PROJECT_BINARY_DIR}/${package}ConfigVersion.cmake
          COMPONENT library DESTINATION ${package_dir})
  if(L_MODULE)
    install(FILES ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${L_MODULE}
            COMPONENT library DESTINATION ${package_dir})
  endif()
  install(FILES ${PROJECT_BINARY_DIR}/oakum-${name}.pc COMPONENT library
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  install(FILES ${L_MANUAL} COMPONENT library DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
endfunction()

# The Raft core takes of base only how an assertion fails.
get_target_property(sources oak_raft SOURCES)
get_target_property(source_dir oak_raft SOURCE_DIR)
list(TRANSFORM sources PREPEND ${source_dir}/)
add_library(oakum_raft_objects OBJECT ${sources} ${PROJECT_SOURCE_DIR}/src/base/assert.c)
set_target_properties(oakum_raft_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(oakum_raft_objects PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                      ${PROJECT_SOURCE_DIR}/include)
oak_library(raft DESCRIPTION "Raft consensus core that does no I/O"
  OBJECTS $<TARGET_OBJECTS:oakum_raft_objects>
  HEADERS raft.h
  MANUAL ${PROJECT_SOURCE_DIR}/man/oakum-raft.3)

# gRPC is made of whole rooms, compiled once for the library and for our own programs. A call of a
# public function within the library is not to go through a table that others could change.
set(objects)
set(headers common.h errors.def)
foreach(room base pb json schema zip rpc channel stub services jsonrpc os tls runtime)
  set_target_properties(oak_${room} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(oak_${room} PRIVATE -fno-semantic-interposition)
  list(APPEND objects $<TARGET_OBJECTS:oak_${room}>)
  if(EXISTS ${PROJECT_SOURCE_DIR}/include/oakum/${room}.h)
    list(APPEND headers ${room}.h)
  endif()
endforeach()
list(APPEND headers carrier.h) # the second one of rpc
# oak_manual(rpc manual rpc.h channel.h ...): the path of a manual page that says what these headers
# say.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(oak_manual name out)
  set(manual ${PROJECT_BINARY_DIR}/oakum-${name}.3)
  set(made_of ${PROJECT_SOURCE_DIR}/man/oakum-${name}.3.in ${PROJECT_SOURCE_DIR}/tools/manual.py)
  foreach(header ${ARGN})
    list(APPEND made_of ${PROJECT_SOURCE_DIR}/include/oakum/${header})
  endforeach()
  add_custom_command(
    OUTPUT ${manual}
    COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tools/manual.py ${name} ${manual}
    DEPENDS ${made_of}
    VERBATIM)
  add_custom_target(oakum_${name}_manual ALL DEPENDS ${manual})
  set(${out} ${manual} PARENT_SCOPE)
endfunction()

oak_manual(rpc manual ${headers})
oak_library(rpc DESCRIPTION "gRPC for C: client, server, TLS, a loop"
  OBJECTS ${objects}
  HEADERS ${headers}
  MANUAL ${manual}
  PUBLIC libprotobuf-c
  PRIVATE libnghttp2 libuv openssl zlib jansson
  PROGRAMS protoc-gen-oakum
  MODULE OakumGrpc.cmake)

# The client has what it needs of the rooms that gRPC has inside, but not what that shows of them.
set(objects)
foreach(room base pb proto client sync)
  set_target_properties(oak_${room} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  list(APPEND objects $<TARGET_OBJECTS:oak_${room}>)
endforeach()
oak_manual(client manual client.h sync.h)
oak_library(client DESCRIPTION "a client of etcd's API for C"
  OBJECTS ${objects}
  HEADERS client.h sync.h
  MANUAL ${manual}
  ON rpc
  LOCAL oak_error_text oak_error_name oak_error_grpc
  PRIVATE libprotobuf-c)
