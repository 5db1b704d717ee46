# lockstep_test(NAME SOURCES a.cpp ... [LIBRARIES ...] [RANKS 1 2 4] [TIMEOUT seconds] [MPI])
# One executable, one CTest entry per number of ranks. MPI (or RANKS above 1): the test's main starts MPI and gathers
# failures to rank 0 (tests/support/mpi_main). Otherwise plain GoogleTest, without the 0.4 s of a singleton MPI_Init.
set(LOCKSTEP_TEST_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1
  LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0
  ASAN_OPTIONS=detect_leaks=0
  LOCKSTEP_SOURCE_DIR=${CMAKE_SOURCE_DIR} LOCKSTEP_BINARY_DIR=${CMAKE_BINARY_DIR})

function(lockstep_test name)
  cmake_parse_arguments(arg "MPI" "TIMEOUT" "SOURCES;LIBRARIES;RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(LOCKSTEP_SANITIZE)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE lockstep::settings lockstep::test_support ${arg_LIBRARIES} GTest::gtest)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT arg_RANKS AND NOT arg_MPI)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    # Ranks are not searched for leaks: Open MPI keeps what plugins allocated that it has unloaded.
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS 1
      ENVIRONMENT "${LOCKSTEP_TEST_ENVIRONMENT};ASAN_OPTIONS=detect_leaks=1")
    return()
  endif()
  target_link_libraries(${name} PRIVATE lockstep::mpi_main)
  if(NOT arg_RANKS)
    set(arg_RANKS 1)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.ranks${ranks} COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:${name}>)
    set(processors ${ranks})
    if(processors GREATER 2)
      set(processors 2)
    endif()
    set_tests_properties(${name}.ranks${ranks} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${processors}
      ENVIRONMENT "${LOCKSTEP_TEST_ENVIRONMENT}" LABELS RANKS_${ranks})
  endforeach()
endfunction()
