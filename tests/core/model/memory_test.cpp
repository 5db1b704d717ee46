// A step's memory is all there after the second step: later ones neither ask the system for more
// nor touch a page for the first time.
#include <algorithm>
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
  index_t t = 0;
  const auto taken_by_four_steps = [&] {
    const Taken before = taken();
    for (int i = 0; i < 4; ++i) step(++t);
    const Taken after = taken();
    return Taken{after.allocations - before.allocations, after.faults - before.faults};
  };
  step(++t);
  step(++t);

  // The kernel takes a page of the code or of the stack now and then, and gives it back with a
  // fault; a step that touches new pages does so each time.
  Taken least = taken_by_four_steps();
  for (int more = 0; more < 4 && least.faults != 0; ++more) {
    const Taken next = taken_by_four_steps();
    least = {least.allocations + next.allocations, std::min(least.faults, next.faults)};
  }

  EXPECT_EQ(least.allocations, 0u) << name_of(precision);
  if (!sanitized) {
    EXPECT_EQ(least.faults, 0) << name_of(precision);
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
