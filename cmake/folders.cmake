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
