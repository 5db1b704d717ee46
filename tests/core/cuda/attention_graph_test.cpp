// cuDNN takes each graph of attention for an H200, which is described to it and need not be there.
// The driver's stub stands in for the driver: the library wants to load one.
#include "core/cuda/attention_graph.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

const char* const h200 =
    R"({"deviceName":"NVIDIA H200","deviceVer":900,"driverVer":13000,"cudaDeviceId":0,)"
    R"("pciDeviceId":0,"isTccDriver":0,"multiProcessorCount":132,"warpSize":32,)"
    R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],)"
    R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"maxCtasPerSM":32,"regsPerBlock":65536,)"
    R"("maxRegistersPerSM":65536,"maxSharedMemoryPerBlock":49152,)"
    R"("maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,)"
    R"("supportCoopLaunch":1,"totalGlobalMem":150000000000,"smClockRateKHz":1980000,)"
    R"("memClockRateKHz":3201000,"l2CacheSize":62914560})";

class CudnnAttention : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cudnn().missing.empty()) GTEST_SKIP() << cudnn().missing;
  }
};

struct Sizes {
  index_t B, T, NH, HS;
};

std::size_t engines(const AttentionShape& shape) {
  return engines_of(AttentionGraph(shape), h200).configurations.size();
}

std::string words_of(const AttentionShape& s) {
  return build_string(s.backward ? "backward" : "forward", " B ", s.B, " T ", s.T, " NH ", s.NH,
                      " HS ", s.HS, " row ", s.row_stride, s.causal ? " causal" : "",
                      s.lengths ? " lengths" : "", s.dropout ? " dropout" : "",
                      s.deterministic ? " deterministic" : "");
}

// f(shape) for both directions, every mask, with and without dropout, and every order of sums.
template <typename F>
void each_shape(const Sizes& sizes, const F& f) {
  for (int bits = 0; bits < 32; ++bits) {
    const auto bit = [&](int number) { return (bits >> number & 1) != 0; };
    if (bit(4) && !bit(0)) continue;  // a forward has one order
    f(AttentionShape{.backward = bit(0),
                     .B = sizes.B,
                     .T = sizes.T,
                     .NH = sizes.NH,
                     .HS = sizes.HS,
                     .row_stride = 3 * sizes.NH * sizes.HS,
                     .causal = bit(1),
                     .lengths = bit(2),
                     .dropout = bit(3),
                     .deterministic = bit(4)});
  }
}

TEST_F(CudnnAttention, TakesTheGraphsOfGptAndBert) {
  for (const Sizes& sizes : {Sizes{64, 1024, 12, 64}, Sizes{8, 1024, 25, 64},
                             Sizes{32, 512, 16, 64}, Sizes{4, 2048, 16, 128}}) {
    each_shape(sizes, [](const AttentionShape& shape) {
      EXPECT_GT(engines(shape), 0u) << words_of(shape);
    });
  }
}

TEST_F(CudnnAttention, TakesHeadsOfMultiplesOfEightAtAnyLength) {
  for (const Sizes& sizes : {Sizes{3, 16, 5, 8}, Sizes{3, 37, 5, 32}, Sizes{1, 2, 1, 64},
                             Sizes{3, 1023, 5, 80}, Sizes{3, 1000, 5, 96}, Sizes{2, 129, 3, 128}}) {
    each_shape(sizes, [](const AttentionShape& shape) {
      EXPECT_GT(engines(shape), 0u) << words_of(shape);
    });
  }
}

TEST_F(CudnnAttention, TakesContiguousRowsToo) {
  each_shape({2, 130, 3, 64}, [](AttentionShape shape) {
    shape.row_stride = shape.NH * shape.HS;
    EXPECT_GT(engines(shape), 0u) << words_of(shape);
  });
}

TEST_F(CudnnAttention, RefusesOtherHeads) {
  each_shape({8, 512, 8, 100},
             [](const AttentionShape& shape) { EXPECT_EQ(engines(shape), 0u) << words_of(shape); });
}

}  // namespace
}  // namespace lockstep::cuda
