// A step's memory is all there after the second step: later ones neither ask the system for more
// nor touch a page for the first time.
#include <sys/resource.h>

#include <gtest/gtest.h>

#include "core/optim/adamw.hpp"
#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

using test::tiny_batch;
using test::tiny_bert;
using test::tiny_gpt;
using test::TinyModel;

// An allocator that looks for errors gives what oneDNN frees back to the system.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer);
#else
constexpr bool sanitized = false;
#endif

struct Taken {
  std::size_t allocations;  // that went to the system
  long faults;              // pages touched for the first time

  bool operator==(const Taken&) const = default;
};

Taken taken() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {memory_use(Device{}).num_system, usage.ru_minflt};
}

// Wide enough that activations, logits and packed operands are beyond what malloc keeps.
ModelConfig widened(ModelConfig config) {
  config.heads = 4;
  config.width = 128;
  config.head_size = 0;
  config.ffn_width = 512;
  config.vocab_size = 1000;
  config.max_positions = 64;
  config.resolve(8, 1);
  return config;
}

void expect_nothing_new(const ModelConfig& config, DType precision) {
  TinyModel model(config, 1, Recompute::none, precision);
  const std::vector<Batch> batches{tiny_batch(config, 4, 64, true),
                                   tiny_batch(config, 4, 64, true)};
  Tensor values = model.store().values();
  const Tensor gradients = model.store().gradients();
  const index_t count = values.count();
  AdamW optimizer({0, count}, {{0, count, true}}, values.dtype(), Device{}, {});
  const auto step = [&](index_t t) {
    model.train(batches);
    optimizer.step(values, gradients, t, 1e-3, 1e-3);
    model.store().round_values();
  };
  step(1);
  step(2);
  const Taken before = taken();

  for (index_t t = 3; t <= 6; ++t) step(t);

  const Taken after = taken();
  EXPECT_EQ(after.allocations, before.allocations) << name_of(precision);
  if (!sanitized) {
    // oneDNN's sgemm goes to malloc between others' small requests, which now and then take a piece
    // of what it had before; memory given back would be some 10,000 faults a step.
    const long most = precision == DType::f32 ? 1000 : 0;
    EXPECT_LE(after.faults - before.faults, most) << name_of(precision);
  }
}

TEST(Memory, IsRecycledFromStepToStep) {
  for (const DType precision : {DType::f64, DType::f32, DType::bf16}) {
    expect_nothing_new(widened(tiny_gpt()), precision);
    expect_nothing_new(widened(tiny_bert()), precision);
  }
}

}  // namespace
}  // namespace lockstep
