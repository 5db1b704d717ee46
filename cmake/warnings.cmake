# Every target links lockstep::settings: include root, warnings, contraction off (same bits for vector body and tail).
add_library(lockstep_settings INTERFACE)
add_library(lockstep::settings ALIAS lockstep_settings)
target_include_directories(lockstep_settings INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_features(lockstep_settings INTERFACE cxx_std_20)
target_compile_options(lockstep_settings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror;-ffp-contract=off>)
