# Line tables alone are enough for a report, and cheaper to build than all of -g.
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_settings INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g1)
  target_link_options(lockstep_settings INTERFACE -fsanitize=address,undefined)
endif()
