# SPDX-License-Identifier: Apache-2.0
# Compiler flags shared by every room, and the switches a builder may turn.

option(OAK_WERROR "Treat warnings as errors" ON)
option(OAK_ZOO "Compile the bug zoo in: deliberate faults, off until named at run time" OFF)
option(OAK_FUZZ "Build the fuzzers (clang only)" OFF)
option(OAK_COVER "Instrument for coverage" OFF)
set(OAK_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

# Release keeps assertions: they are our own (base/assert.h), and no macro turns them off.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")

# The same sources give the same bytes wherever they lie: paths in __FILE__ and in debugging
# information start at the top of the project, and archives carry no times and owners.
set(CMAKE_C_ARCHIVE_CREATE "<CMAKE_AR> qcD <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_C_ARCHIVE_APPEND "<CMAKE_AR> qD <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "<CMAKE_RANLIB> -D <TARGET>")
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.
                    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
                    -ffile-prefix-map=${PROJECT_BINARY_DIR}=. -Wdate-time)

add_compile_options(
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wvla -Wformat=2 -Wundef -Wwrite-strings -Wimplicit-fallthrough -Wpointer-arith
  -fno-omit-frame-pointer -fno-common -fvisibility=hidden -fstack-protector-strong)
if(OAK_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT OAK_SANITIZE)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(OAK_SANITIZE)
  # -O1: stacks stay readable, and the tests take a fraction of what they take at -O0.
  add_compile_options(-O1 -fsanitize=${OAK_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OAK_SANITIZE})
endif()
if(OAK_FUZZ)
  add_compile_options(-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(OAK_COVER)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(OAK_ZOO)
  add_compile_definitions(OAK_ZOO=1)
endif()
