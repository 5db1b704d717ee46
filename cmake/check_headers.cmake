# check_headers: each header compiles alone. One generated .cpp per header, in one object library outside `all`.
function(lockstep_check_headers)
  file(GLOB_RECURSE headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS
    core/*.hpp parallel/*.hpp data/*.hpp launch/*.hpp tests/support/*.hpp)
  foreach(header IN LISTS headers)
    string(REPLACE "/" "__" stem ${header})
    set(source ${CMAKE_BINARY_DIR}/check_headers/${stem}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n")
    list(APPEND sources ${source})
  endforeach()
  add_library(check_headers OBJECT EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(check_headers PRIVATE lockstep::settings MPI::MPI_CXX lockstep_hdf5
    nlohmann_json::nlohmann_json Boost::program_options)
  if(LOCKSTEP_TESTS)
    target_link_libraries(check_headers PRIVATE GTest::gtest)
  endif()
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL lockstep_check_headers)
