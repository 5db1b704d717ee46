# check_includes: the arrows of CONTRIBUTING.md. It is part of `all`, so a wrong arrow fails the build.
add_custom_target(check_includes ALL
  COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -P ${CMAKE_SOURCE_DIR}/cmake/check_includes_run.cmake
  COMMENT "Checking the arrows between rooms" VERBATIM)
