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
# cmocka program. Tests are built by the targets oak_tests and oak_tests_wal, not by default;
# without cmocka the first fails, so that tests never vanish in silence. ONE_THREAD is a promise,
# and held: the test cannot start a thread (tests/one_thread.c). The thread sanitizer has nothing
# to find there and does without it. FAILING_ALLOC: for a test that includes base/test_failing.h.
find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
if(CMOCKA_FOUND)
  add_custom_target(oak_tests)
else()
  add_custom_target(oak_tests COMMAND ${CMAKE_COMMAND} -E echo "cmocka is missing: make deps-test"
                              COMMAND ${CMAKE_COMMAND} -E false)
endif()
function(oak_test room source)
  cmake_parse_arguments(T "ONE_THREAD;FAILING_ALLOC" "TIMEOUT" "USES;LIBS;ARGS" ${ARGN})
  if(T_ONE_THREAD AND OAK_SANITIZE STREQUAL "thread")
    return()
  endif()
  if(NOT CMOCKA_FOUND)
    return()
  endif()
  get_filename_component(stem ${source} NAME_WE)
  string(REGEX REPLACE "_test$" "" short ${stem})
  set(target test_${room}_${short})
  add_executable(${target} EXCLUDE_FROM_ALL ${source})
  if(NOT TARGET oak_tests_${room})
    add_custom_target(oak_tests_${room})
    add_dependencies(oak_tests oak_tests_${room})
  endif()
  add_dependencies(oak_tests_${room} ${target})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE
    OAK_TESTDATA="${CMAKE_CURRENT_SOURCE_DIR}/testdata")
  if(OAK_SANITIZE OR OAK_COVER)
    # Tests that go through very many cases may take fewer: each costs ten times as much here.
    target_compile_definitions(${target} PRIVATE OAK_SLOW_BUILD=1)
  endif()
  target_compile_options(${target} PRIVATE -Wno-conversion -Wno-sign-conversion
    -Wno-missing-prototypes)
  target_link_libraries(${target} PRIVATE oak_${room} PkgConfig::CMOCKA ${T_LIBS})
  foreach(used ${T_USES})
    target_link_libraries(${target} PRIVATE oak_${used})
  endforeach()
  if(T_FAILING_ALLOC) # base/test_failing.h
    target_link_options(${target} PRIVATE
      -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc)
  endif()
  if(T_ONE_THREAD AND NOT OAK_SANITIZE)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/one_thread.c)
  endif()
  add_test(NAME ${room}/${short} COMMAND ${target} ${T_ARGS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(OAK_SANITIZE) # ten times slower, and beside other tests: what hangs is ended all the same
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 2")
  endif()
  set_tests_properties(${room}/${short} PROPERTIES TIMEOUT ${T_TIMEOUT})
endfunction()

# oak_fuzz(wal record_fuzz.c USES ...) makes the libFuzzer program fuzz_wal_record (OAK_FUZZ only).
add_custom_target(oak_fuzzers)
function(oak_fuzz room source)
  cmake_parse_arguments(F "" "" "USES;LIBS" ${ARGN})
  if(NOT OAK_FUZZ)
    return()
  endif()
  get_filename_component(stem ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" short ${stem})
  set(target fuzz_${room}_${short})
  add_executable(${target} EXCLUDE_FROM_ALL ${source})
  add_dependencies(oak_fuzzers ${target})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${target} PRIVATE oak_${room} ${F_LIBS})
  foreach(used ${F_USES})
    target_link_libraries(${target} PRIVATE oak_${used})
  endforeach()
endfunction()

# What is installed, and where the program lies: once all rooms are known.
include(GNUInstallDirs)
function(oak_finish)
  set_target_properties(oakum PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  install(TARGETS oakum RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${PROJECT_SOURCE_DIR}/man/oakum.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  # What the program says of itself: the page of its verbs, and completion for three shells.
  set(said ${PROJECT_BINARY_DIR}/said)
  set(oakum ${PROJECT_BINARY_DIR}/bin/oakum)
  install(CODE "
    file(MAKE_DIRECTORY ${said})
    foreach(each bash zsh fish)
      execute_process(COMMAND ${oakum} completion \${each} OUTPUT_FILE ${said}/\${each}
                      COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    execute_process(COMMAND python3 -B ${PROJECT_SOURCE_DIR}/tools/verbs.py ${oakum}
                    OUTPUT_FILE ${said}/oakum-ctl.1 COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${said}/oakum-ctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${said}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME oakum)
  install(FILES ${said}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _oakum)
  install(FILES ${said}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
          RENAME oakum.fish)
endfunction()
cmake_language(DEFER DIRECTORY ${PROJECT_SOURCE_DIR} CALL oak_finish)
