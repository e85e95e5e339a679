# SPDX-License-Identifier: Apache-2.0
# One function for a room, one for its tests, one for its fuzzers. Sources are listed by name:
# `make tidy` finds a file that nobody lists.

# oak_room(wal SOURCES wal.c record.c USES port LIBS Foreign::lib)
# makes the static library oak_wal. Includes are written from src/: #include "wal/wal.h".
function(oak_room name)
  cmake_parse_arguments(R "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_library(oak_${name} STATIC ${R_SOURCES})
  target_include_directories(oak_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src
                                                ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(oak_${name} PRIVATE _GNU_SOURCE)
  foreach(used ${R_USES})
    target_link_libraries(oak_${name} PUBLIC oak_${used})
  endforeach()
  if(R_LIBS)
    target_link_libraries(oak_${name} PUBLIC ${R_LIBS})
  endif()
endfunction()

# oak_test(wal record_test.c USES sim LIBS Foreign::lib) makes the CTest test "wal/record" from a
# cmocka program. It is skipped at configure time only where cmocka is absent, and says so.
find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
if(NOT CMOCKA_FOUND)
  message(STATUS "cmocka not found: building without tests (make deps installs it)")
endif()
function(oak_test room source)
  cmake_parse_arguments(T "" "TIMEOUT" "USES;LIBS;ARGS" ${ARGN})
  if(NOT CMOCKA_FOUND)
    return()
  endif()
  get_filename_component(stem ${source} NAME_WE)
  string(REGEX REPLACE "_test$" "" short ${stem})
  set(target test_${room}_${short})
  add_executable(${target} ${source})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE
    OAK_TESTDATA="${CMAKE_CURRENT_SOURCE_DIR}/testdata")
  target_compile_options(${target} PRIVATE -Wno-conversion -Wno-sign-conversion
    -Wno-missing-prototypes)
  target_link_libraries(${target} PRIVATE oak_${room} PkgConfig::CMOCKA ${T_LIBS})
  foreach(used ${T_USES})
    target_link_libraries(${target} PRIVATE oak_${used})
  endforeach()
  add_test(NAME ${room}/${short} COMMAND ${target} ${T_ARGS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${room}/${short} PROPERTIES TIMEOUT ${T_TIMEOUT})
endfunction()

# oak_fuzz(wal record_fuzz.c USES ...) makes the libFuzzer program fuzz_wal_record (OAK_FUZZ only).
function(oak_fuzz room source)
  cmake_parse_arguments(F "" "" "USES;LIBS" ${ARGN})
  if(NOT OAK_FUZZ)
    return()
  endif()
  get_filename_component(stem ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" short ${stem})
  set(target fuzz_${room}_${short})
  add_executable(${target} ${source})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${target} PRIVATE oak_${room} ${F_LIBS})
  foreach(used ${F_USES})
    target_link_libraries(${target} PRIVATE oak_${used})
  endforeach()
endfunction()
