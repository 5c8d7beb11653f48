# What TESSERA_KERNELS_ONLY uses in place of find_package: this machine's headers of fmt and sources of GoogleTest, so that a
# cross build needs no libraries of its target. The link keeps the rest of /usr/include out of the cross compiler's sight.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/host_headers)
file(CREATE_LINK /usr/include/fmt ${CMAKE_BINARY_DIR}/host_headers/fmt SYMBOLIC)
add_library(fmt::fmt INTERFACE IMPORTED)
target_include_directories(fmt::fmt INTERFACE ${CMAKE_BINARY_DIR}/host_headers)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)
if(TESSERA_TESTS)
  set(INSTALL_GTEST OFF)
  set(BUILD_GMOCK OFF)
  add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
endif()
