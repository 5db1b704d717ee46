// Sets of stages that no model has today: three users, overlapping sets, and stages between that
// use nothing.
#include "parallel/gradient/tied.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

// One plan position per stage.
std::vector<StageRange> one_position_each(int stages) {
  std::vector<StageRange> ranges;
  for (int stage = 0; stage < stages; ++stage) ranges.push_back({stage, stage + 1});
  return ranges;
}

ParameterRow row(const std::string& name, std::vector<index_t> uses) {
  ParameterRow row;
  row.name = name;
  row.shape = {3};
  row.uses = std::move(uses);
  return row;
}

bool used_at(const ParameterRow& row, int stage) {
  return std::find(row.uses.begin(), row.uses.end(), stage) != row.uses.end();
}

// This stage's entries; each gradient element is 10^stage, so that a sum shows who took part.
std::vector<ParameterStore::Entry> entries_of(const std::vector<ParameterRow>& rows, int stage) {
  std::vector<ParameterStore::Entry> entries;
  for (const ParameterRow& row : rows) {
    if (!used_at(row, stage)) continue;
    Tensor gradient = Tensor::empty({3}, DType::f32);
    for (index_t i = 0; i < 3; ++i)
      gradient.data<float>()[i] = std::pow(10.0F, static_cast<float>(stage));
    entries.push_back({&row, {0, 3, 0, 1}, 0, {Tensor{}, gradient}});
  }
  return entries;
}

float expected_sum(const ParameterRow& row, int stages) {
  float sum = 0;
  for (int stage = 0; stage < stages; ++stage) {
    if (used_at(row, stage)) sum += std::pow(10.0F, static_cast<float>(stage));
  }
  return sum;
}

TEST(StagesOf, NamesEachUserOnce) {
  const StageMap stages(std::vector<StageRange>{{0, 3}, {3, 5}, {5, 8}});

  EXPECT_EQ(stages.ranks_with(row("a", {0, 7}).uses), (std::vector<int>{0, 2}));
  EXPECT_EQ(stages.ranks_with(row("b", {5, 6}).uses), (std::vector<int>{2}));
  EXPECT_EQ(stages.ranks_with(row("c", {4, 2, 0}).uses), (std::vector<int>{0, 1}));
}

TEST(TiedSums, AddOverExactlyTheStagesThatUseAParameter) {
  const int stages = environment().size();
  const Topology topology(environment(), {.dp = 1, .pp = stages, .cp = 1, .tp = 1});
  const std::vector<ParameterRow> rows = {
      row("ends", {0, stages - 1}),       row("own", {topology.pp_rank()}),
      row("all", {0, 1, 2, 3}),           row("last two", {stages - 2, stages - 1}),
      row("ends again", {0, stages - 1}), row("first three", {0, 1, 2})};
  const auto entries = entries_of(rows, topology.pp_rank());
  TiedSums tied(entries, topology, one_position_each(stages));

  tied.sum();

  for (const auto& entry : entries) {
    const float expected = expected_sum(*entry.row, stages);
    for (index_t i = 0; i < 3; ++i) {
      EXPECT_EQ(entry.parameter.gradient.data<float>()[i], expected) << entry.row->name;
    }
  }
}

TEST(TiedSums, StayInsideAReplica) {
  if (environment().size() != 4) GTEST_SKIP() << "two stages of two replicas";
  const Topology topology(environment(), {.dp = 2, .pp = 2, .cp = 1, .tp = 1});
  const std::vector<ParameterRow> rows = {row("both", {0, 1})};
  auto entries = entries_of(rows, topology.pp_rank());
  entries[0].parameter.gradient.data<float>()[0] += static_cast<float>(100 * topology.dp_rank());
  TiedSums tied(entries, topology, one_position_each(2));

  tied.sum();

  EXPECT_EQ(entries[0].parameter.gradient.data<float>()[0],
            static_cast<float>(11 + 200 * topology.dp_rank()));
}

}  // namespace
}  // namespace lockstep::test
