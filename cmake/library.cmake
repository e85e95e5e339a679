# SPDX-License-Identifier: Apache-2.0
# The Raft core as a library for others: liboakum-raft, static and shared, with its header, manual
# page, pkg-config file and CMake package. It stands alone: what it uses of base goes in privately.
#
# Programs of this project link the room oak_raft; nothing here is built for the bug zoo, fuzzers,
# sanitizers or coverage.
if(OAK_ZOO OR OAK_FUZZ OR OAK_SANITIZE OR OAK_COVER)
  return()
endif()

get_target_property(sources oak_raft SOURCES)
get_target_property(source_dir oak_raft SOURCE_DIR)
list(TRANSFORM sources PREPEND ${source_dir}/)
add_library(oakum_raft_objects OBJECT ${sources} ${PROJECT_SOURCE_DIR}/src/base/assert.c)
set_target_properties(oakum_raft_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(oakum_raft_objects PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                      ${PROJECT_SOURCE_DIR}/include)

# One object in which all that isn't OAK_RAFT_API has become local: so also the static library shows
# nothing but the interface, and can't clash with a name of the program it is linked into.
find_program(OBJCOPY_PROGRAM objcopy REQUIRED)
set(object ${PROJECT_BINARY_DIR}/oakum-raft.o)
add_custom_command(
  OUTPUT ${object}
  COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${object} $<TARGET_OBJECTS:oakum_raft_objects>
  COMMAND ${OBJCOPY_PROGRAM} --localize-hidden ${object}
  DEPENDS oakum_raft_objects $<TARGET_OBJECTS:oakum_raft_objects>
  COMMAND_EXPAND_LISTS VERBATIM)

foreach(kind STATIC SHARED)
  string(TOLOWER ${kind} lower)
  add_library(oakum_raft_${lower} ${kind} ${object})
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set_target_properties(oakum_raft_${lower} PROPERTIES
    OUTPUT_NAME oakum-raft LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
  target_include_directories(oakum_raft_${lower} INTERFACE
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
target_link_options(oakum_raft_shared PRIVATE LINKER:-z,defs LINKER:-z,relro LINKER:-z,now)
# One custom command, two users: the second waits for the first.
add_dependencies(oakum_raft_shared oakum_raft_static)
set_target_properties(oakum_raft_shared PROPERTIES EXPORT_NAME raft)
set_target_properties(oakum_raft_static PROPERTIES EXPORT_NAME raft_static)

# Both description files find the library by where they lie themselves, so that the prefix may be
# chosen when it is installed, and the installed tree may be moved.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/OakumRaft)
file(RELATIVE_PATH OAK_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" OAK_PC_TO_PREFIX "${OAK_PC_TO_PREFIX}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/oakum-raft.pc.in ${PROJECT_BINARY_DIR}/oakum-raft.pc @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/OakumRaftConfigVersion.cmake
                                 VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)

install(TARGETS oakum_raft_static oakum_raft_shared EXPORT OakumRaft COMPONENT library
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
        NAMELINK_COMPONENT library
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(FILES ${PROJECT_SOURCE_DIR}/include/oakum/raft.h COMPONENT library
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/oakum)
install(EXPORT OakumRaft NAMESPACE Oakum:: FILE OakumRaftConfig.cmake COMPONENT library
        DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/OakumRaftConfigVersion.cmake COMPONENT library
        DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/oakum-raft.pc COMPONENT library
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/man/oakum-raft.3 COMPONENT library
        DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
