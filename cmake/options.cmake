# SPDX-License-Identifier: Apache-2.0
# Compiler flags shared by every room, and the switches a builder may turn.

option(OAK_WERROR "Treat warnings as errors" ON)
option(OAK_ZOO "Compile the bug zoo in: deliberate faults, off until named at run time" OFF)
option(OAK_FUZZ "Build the fuzzers (clang only)" OFF)
option(OAK_COVER "Instrument for coverage" OFF)
set(OAK_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

# Release keeps assertions: they are our own (base/assert.h) and never depend on NDEBUG.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")

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
  add_compile_options(-fsanitize=${OAK_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OAK_SANITIZE})
endif()
if(OAK_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(OAK_COVER)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(OAK_ZOO)
  add_compile_definitions(OAK_ZOO=1)
endif()
