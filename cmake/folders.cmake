# SPDX-License-Identifier: Apache-2.0
# What single folders need beyond the common rules: third-party libraries and the programs.
function(link_folder name)
  if(TARGET slipway_${name})
    target_link_libraries(slipway_${name} PUBLIC ${ARGN})
  endif()
endfunction()

link_folder(text PkgConfig::YAML)
link_folder(oci PkgConfig::ZLIB PkgConfig::ZSTD)
link_folder(sandbox PkgConfig::SECCOMP)

if(EXISTS ${CMAKE_SOURCE_DIR}/src/main/slipway_main.cc)
  add_executable(slipway src/main/slipway_main.cc)
  target_link_libraries(slipway PRIVATE ${LOWER})
endif()

# The shim runs inside any image, "scratch" too: one static file without sanitizers, made of the few folders it needs.
# Debian has fmt only as a shared library, so here it is header-only.
set(shim_sources)
foreach(folder base text net store wire shim)
  file(GLOB folder_sources CONFIGURE_DEPENDS src/${folder}/*.cc)
  list(APPEND shim_sources ${folder_sources})
endforeach()
list(FILTER shim_sources EXCLUDE REGEX "(_(test|bench|fuzz)|/yaml[a-z_]*|/server|store/(blobs|file|log|objects|recording_file|snapshot))\\.cc$")
add_executable(slipway-shim ${shim_sources})
target_include_directories(slipway-shim PRIVATE src ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(slipway-shim PRIVATE FMT_HEADER_ONLY)
target_compile_options(slipway-shim PRIVATE -fno-sanitize=all -Wno-maybe-uninitialized -O2 -ffunction-sections -fdata-sections)
target_link_options(slipway-shim PRIVATE -fno-sanitize=all -static-pie -Wl,--gc-sections -s)
find_library(SSL_STATIC libssl.a REQUIRED)
find_library(CRYPTO_STATIC libcrypto.a REQUIRED)
target_link_libraries(slipway-shim PRIVATE ${SSL_STATIC} ${CRYPTO_STATIC})
