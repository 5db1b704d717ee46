// A file for --config.
#include "launch/options.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lockstep::fuzz::Scratch scratch;
  const std::string file = scratch.write("run.ini", lockstep::fuzz::text_of(data, size));
  lockstep::fuzz::expect_error_or_success([&] { lockstep::read_run_options({"--config", file}); });
  return 0;
}
