#include "parallel/topology.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

std::string refusal(int ranks, int dp, int pp, int cp, int tp, ExitCode code) {
  try {
    (void)resolve_degrees(ranks, dp, pp, cp, tp);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "accepted";
}

// All layouts of as many ranks as this test runs on.
std::vector<Degrees> layouts() {
  std::vector<Degrees> all;
  const int ranks = environment().size();
  for (int pp = 1; pp <= ranks; ++pp) {
    for (int cp = 1; cp <= ranks; ++cp) {
      for (int tp = 1; tp <= ranks; ++tp) {
        if (ranks % (pp * cp * tp) == 0) all.push_back(resolve_degrees(ranks, 0, pp, cp, tp));
      }
    }
  }
  return all;
}

// World ranks of a group's members, in group order.
std::vector<std::int32_t> members(Group& group) {
  Tensor ranks = Tensor::zeros({group.size()}, DType::i32);
  ranks.data<std::int32_t>()[group.rank()] = environment().rank();
  group.all_reduce(ranks, Reduce::sum, "test");
  return {ranks.data<std::int32_t>(), ranks.data<std::int32_t>() + ranks.count()};
}

TEST(ResolveDegrees, DataParallelDegreeFollowsFromTheRanks) {
  EXPECT_EQ(resolve_degrees(8, 0, 2, 1, 2), (Degrees{.dp = 2, .pp = 2, .cp = 1, .tp = 2}));
  EXPECT_EQ(resolve_degrees(8, 2, 2, 1, 2).ranks(), 8);
  EXPECT_EQ(resolve_degrees(1, 0, 1, 1, 1), Degrees{});
}

TEST(ResolveDegrees, NamesDegreesAndRanksOfAWrongLayout) {
  const std::string odd = refusal(6, 0, 2, 1, 2, ExitCode::wrong_ranks);
  EXPECT_NE(odd.find("--tp 2 x --pp 2"), std::string::npos) << odd;
  EXPECT_NE(odd.find("multiple of 4 ranks, there are 6"), std::string::npos) << odd;

  const std::string given = refusal(8, 4, 2, 1, 2, ExitCode::wrong_ranks);
  EXPECT_NE(given.find("--dp 4"), std::string::npos) << given;
  EXPECT_NE(given.find("needs 16 ranks, there are 8"), std::string::npos) << given;
}

TEST(ResolveDegrees, RefusesDegreesThatCannotBe) {
  EXPECT_NE(refusal(4, 0, 0, 1, 1, ExitCode::refused).find("--pp 0"), std::string::npos);
  EXPECT_NE(refusal(4, 0, 1, 1, -2, ExitCode::refused).find("--tp -2"), std::string::npos);
  EXPECT_NE(refusal(4, 0, 1, 0, 1, ExitCode::refused).find("--cp 0"), std::string::npos);
  EXPECT_NE(refusal(4, -1, 1, 1, 1, ExitCode::refused).find("--dp -1"), std::string::npos);
  constexpr int huge = 2147483647;
  EXPECT_NE(refusal(4, 0, huge, huge, huge, ExitCode::wrong_ranks), "accepted");
  EXPECT_NE(refusal(4, huge, huge, 1, 4, ExitCode::wrong_ranks), "accepted");
}

TEST(Topology, RefusesALayoutOfAnotherSize) {
  Degrees degrees;
  degrees.tp = environment().size() + 1;

  EXPECT_THROW(Topology(environment(), degrees), Error);
}

TEST(Topology, CoordinatesGiveTheWorldRank) {
  for (const Degrees& degrees : layouts()) {
    const Topology topology(environment(), degrees);

    EXPECT_EQ(topology.world_rank(topology.dp_rank(), topology.pp_rank(), topology.cp_rank(),
                                  topology.tp_rank()),
              environment().rank());
    EXPECT_EQ(topology.dp().rank(), topology.dp_rank());
    EXPECT_EQ(topology.pp().rank(), topology.pp_rank());
    EXPECT_EQ(topology.tp().rank(), topology.tp_rank());
    EXPECT_EQ(topology.dp().size(), degrees.dp);
    EXPECT_EQ(topology.pp().size(), degrees.pp);
    EXPECT_EQ(topology.tp().size(), degrees.tp);
    EXPECT_EQ(topology.model().size(), degrees.pp * degrees.tp);
    EXPECT_EQ(topology.cp().size(), degrees.cp);
    EXPECT_EQ(topology.cp().rank(), topology.cp_rank());
    EXPECT_EQ(topology.replicas().size(), degrees.dp * degrees.cp);
    EXPECT_EQ(topology.replicas().rank(), topology.dp_rank() * degrees.cp + topology.cp_rank());
    EXPECT_EQ(topology.world().size(), environment().size());
  }
}

TEST(Topology, GroupsHoldTheRanksThatDifferInOneCoordinate) {
  for (const Degrees& degrees : layouts()) {
    const Topology topology(environment(), degrees);
    const int dp = topology.dp_rank(), pp = topology.pp_rank(), tp = topology.tp_rank(),
              cp = topology.cp_rank();
    std::vector<std::int32_t> dp_ranks, pp_ranks, cp_ranks, tp_ranks;
    for (int i = 0; i < degrees.dp; ++i) dp_ranks.push_back(topology.world_rank(i, pp, cp, tp));
    for (int i = 0; i < degrees.pp; ++i) pp_ranks.push_back(topology.world_rank(dp, i, cp, tp));
    for (int i = 0; i < degrees.tp; ++i) tp_ranks.push_back(topology.world_rank(dp, pp, cp, i));
    for (int i = 0; i < degrees.cp; ++i) cp_ranks.push_back(topology.world_rank(dp, pp, i, tp));

    EXPECT_EQ(members(topology.cp()), cp_ranks);
    EXPECT_EQ(members(topology.dp()), dp_ranks);
    EXPECT_EQ(members(topology.pp()), pp_ranks);
    EXPECT_EQ(members(topology.tp()), tp_ranks);
  }
}

TEST(Topology, TensorRanksAreNeighbours) {
  if (environment().size() != 4) GTEST_SKIP() << "a grid of 4 ranks";

  const Topology topology(environment(), {.dp = 1, .pp = 2, .cp = 1, .tp = 2});

  const int rank = environment().rank();
  EXPECT_EQ(members(topology.tp()), (std::vector<std::int32_t>{rank / 2 * 2, rank / 2 * 2 + 1}));
  EXPECT_EQ(topology.tag(), build_string("dp0 pp", rank / 2, " tp", rank % 2));
}

TEST(Topology, StagesGroupHoldsTheStagesAskedFor) {
  const int stages = environment().size();
  const Topology topology(environment(), {.dp = 1, .pp = stages, .cp = 1, .tp = 1});

  const auto ends = topology.stages_group({0, stages - 1});

  const int rank = environment().rank();
  const bool member = rank == 0 || rank == stages - 1;
  EXPECT_EQ(ends != nullptr, member);
  if (ends) {
    EXPECT_EQ(ends->size(), stages == 1 ? 1 : 2);
    EXPECT_EQ(ends->rank(), rank == 0 ? 0 : 1);
  }
}

TEST(Topology, StagesGroupKeepsReplicasApart) {
  if (environment().size() != 4) GTEST_SKIP() << "a grid of 4 ranks";
  const Topology topology(environment(), {.dp = 2, .pp = 2, .cp = 1, .tp = 1});

  const auto both = topology.stages_group({0, 1});

  const int replica = environment().rank() % 2;
  EXPECT_EQ(members(*both), (std::vector<std::int32_t>{replica, replica + 2}));
}

}  // namespace
}  // namespace lockstep::test
