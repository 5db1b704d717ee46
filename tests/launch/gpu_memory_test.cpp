// What is said of a GPU whose memory will not do.
#include "launch/gpu_memory.hpp"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr MemoryParts two_gigabytes{0.4e9, 0.4e9, 0.8e9, 0, 0.3e9, 0.1e9};

TrainerConfig on_gpu(Degrees degrees) {
  TrainerConfig config;
  config.device = {Device::Kind::cuda, 1};
  config.degrees = degrees;
  return config;
}

TEST(GpuMemory, IsEnoughUpToItsLastByte) {
  EXPECT_EQ(why_too_large(on_gpu({}), {.microbatch_size = 4}, {2000000000, 3000000000},
                          {{two_gigabytes, 0}}),
            "");
}

TEST(GpuMemory, NamesCategoriesBytesAndWhatWouldHelp) {
  EXPECT_EQ(why_too_large(on_gpu({}), {.microbatch_size = 4}, {1990000000, 3000000000},
                          {{two_gigabytes, 0}}),
            "cuda:1 has 1.99 GB free of 3, and rank 0 will need 2.00 GB: parameters 0.40, "
            "gradients 0.40, optimizer 0.80, activations 0.30, workspace 0.10; use a "
            "--microbatch-size below 4, --recompute full, more ranks on more GPUs with --tp or "
            "--pp");
}

TEST(GpuMemory, IsSharedByRanksOfOneGpu) {
  MemoryParts smaller = two_gigabytes;
  smaller.activations = 0;

  const std::string why =
      why_too_large(on_gpu({.dp = 2}), {.microbatch_size = 4}, {3500000000, 4000000000},
                    {{smaller, 2}, {two_gigabytes, 6}});

  EXPECT_NE(why.find("and rank 6 will need 2.00 GB: "), std::string::npos) << why;
  EXPECT_NE(why.find(", 2 ranks share it and need 3.7 GB together;"), std::string::npos) << why;
  EXPECT_NE(why.find("--zero 1"), std::string::npos) << why;
}

TEST(GpuMemory, OffersOnlyWhatIsLeftToTry) {
  TrainerConfig config = on_gpu({.dp = 2});
  config.zero = true;
  config.recompute = Recompute::full;

  const std::string why =
      why_too_large(config, {.microbatch_size = 1}, {0, 1}, {{two_gigabytes, 0}});

  EXPECT_NE(why.find("; use more ranks on more GPUs"), std::string::npos) << why;
}

}  // namespace
}  // namespace lockstep
