# How every component, test and fuzzer of the project is declared.
#
# Include direction is enforced here: a component sees the headers of the components that it links and
# no others. Each component `foo` gets a private include root that holds one entry, a link `foo -> src/foo`,
# and exports that root to whoever links it. `#include "model/spec.h"` from src/kernels fails to compile
# because tessera_kernels does not link tessera_model.

set(TESSERA_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -Wno-dangling-else)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 at -O3 inside std::string and std::vector.
  list(APPEND TESSERA_WARNINGS -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized)
endif()
if(TESSERA_WERROR)
  list(APPEND TESSERA_WARNINGS -Werror)
endif()

add_library(tessera_options INTERFACE)
target_compile_options(tessera_options INTERFACE ${TESSERA_WARNINGS})
# Products and sums are contracted to fused multiply-adds only where the code says so (std::fma, intrinsics):
# a compiler's choice would make results differ between kernels that must agree bit for bit.
target_compile_options(tessera_options INTERFACE -ffp-contract=off)
if(TESSERA_SANITIZE)
  target_compile_options(tessera_options INTERFACE
    -fsanitize=${TESSERA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tessera_options INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
if(TESSERA_FUZZ)
  target_compile_options(tessera_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# tessera_component(NAME [SOURCES f...] [DEPS component...] [LIBS target...] [TESTS f...])
#   DEPS: names of components below this one (without prefix). LIBS: outside libraries.
#   TESTS: each file becomes one test executable NAME_<file>, linked with the component.
function(tessera_component name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;TESTS" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)

  set(deps)
  foreach(dep IN LISTS ARG_DEPS)
    list(APPEND deps tessera_${dep})
  endforeach()
  if(ARG_SOURCES)
    add_library(tessera_${name} STATIC ${ARG_SOURCES})
    target_include_directories(tessera_${name} PUBLIC ${root})
    target_link_libraries(tessera_${name} PUBLIC ${deps} ${ARG_LIBS} PRIVATE tessera_options)
  else()
    add_library(tessera_${name} INTERFACE)
    target_include_directories(tessera_${name} INTERFACE ${root})
    target_link_libraries(tessera_${name} INTERFACE ${deps} ${ARG_LIBS})
  endif()
  if(TESSERA_TESTS)
    foreach(file IN LISTS ARG_TESTS)
      get_filename_component(stem ${file} NAME_WE)
      tessera_test(${name}_${stem} SOURCES ${file} DEPS ${name} LABEL ${name})
    endforeach()
  endif()
endfunction()

# The target tests_LABEL builds all tests of a label: what a check that runs only these needs.
function(tessera_test_group label name)
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${name})
endfunction()

# tessera_test(NAME SOURCES f... [DEPS component...] [LIBS target...] [LABEL label])
#   One ctest entry per test case, so that a skipped case is seen as skipped. TESSERA_SOURCE_DIR tells where models/ and
#   tests/ are. Label: the component, "system" for what spans folders, "threads" for what of it ThreadSanitizer runs;
#   `ctest -L` picks by it.
function(tessera_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;DEPS;LIBS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL system)
  endif()
  set(deps)
  foreach(dep IN LISTS ARG_DEPS)
    list(APPEND deps tessera_${dep})
  endforeach()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE TESSERA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${deps} ${ARG_LIBS} GTest::gtest GTest::gtest_main tessera_options)
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT 300 LABELS ${ARG_LABEL})
  tessera_test_group(${ARG_LABEL} ${name})
endfunction()

# tessera_fuzzer(NAME SOURCE f DEPS component... CORPUS dir [SECONDS n])
#   With TESSERA_FUZZ: a libFuzzer executable and a ctest entry (label fuzz) that runs it for a bounded time
#   from a copy of the committed corpus. Without: the same source runs once over the corpus as a test.
function(tessera_fuzzer name)
  cmake_parse_arguments(ARG "" "SOURCE;CORPUS;SECONDS" "DEPS" ${ARGN})
  if(NOT ARG_SECONDS)
    set(ARG_SECONDS 20)
  endif()
  set(deps)
  foreach(dep IN LISTS ARG_DEPS)
    list(APPEND deps tessera_${dep})
  endforeach()
  add_executable(${name} ${ARG_SOURCE})
  target_link_libraries(${name} PRIVATE ${deps} tessera_options)
  if(TESSERA_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set(work ${CMAKE_CURRENT_BINARY_DIR}/${name}_corpus)
    file(MAKE_DIRECTORY ${work})
    add_test(NAME ${name} COMMAND ${name} -max_total_time=${ARG_SECONDS} -timeout=10 -rss_limit_mb=1024
             -print_final_stats=1 ${work} ${ARG_CORPUS})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name} COMMAND ${name} ${ARG_CORPUS})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
  tessera_test_group(fuzz ${name})
endfunction()
