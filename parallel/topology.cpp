#include "parallel/topology.hpp"

#include <algorithm>

namespace lockstep {
namespace {

// Saturates at 2^31: more than any number of ranks, and no overflow whatever was typed.
index_t product(std::initializer_list<int> degrees) {
  index_t result = 1;
  for (int degree : degrees) result = std::min(result * degree, index_t{1} << 31);
  return result;
}

void require_degree(const char* option, int degree, int least) {
  require(degree >= least, option, " ", degree, ": the degree must be at least ", least);
}

}  // namespace

Degrees resolve_degrees(int ranks, int dp, int pp, int cp, int tp) {
  require_degree("--dp", dp, 0);
  require_degree("--pp", pp, 1);
  require_degree("--cp", cp, 1);
  require_degree("--tp", tp, 1);
  const index_t rest = product({pp, cp, tp});
  if (ranks % rest != 0) {
    throw Error(
        build_string("--tp ", tp, " x --pp ", pp, " x --cp ", cp, " needs a multiple of ", rest,
                     " ranks, there are ", ranks, " ranks: start as many, or change the layout"),
        ExitCode::wrong_ranks);
  }
  const index_t needed = product({dp, pp, cp, tp});
  if (dp > 0 && needed != ranks) {
    throw Error(
        build_string("--dp ", dp, " x --tp ", tp, " x --pp ", pp, " x --cp ", cp, " needs ", needed,
                     " ranks, there are ", ranks, " ranks: leave --dp out, or start ", needed),
        ExitCode::wrong_ranks);
  }
  return {.dp = static_cast<int>(ranks / rest), .pp = pp, .cp = cp, .tp = tp};
}

Topology::Topology(const Environment& environment, Degrees degrees)
    : environment_(&environment), degrees_(degrees), world_(&environment.world()) {
  const auto [dp, pp, cp, tp] = degrees;
  if (product({dp, pp, cp, tp}) != environment.size()) {
    throw Error(build_string("the layout dp ", dp, " x pp ", pp, " x cp ", cp, " x tp ", tp,
                             " does not fit ", environment.size(), " ranks"),
                ExitCode::wrong_ranks);
  }
  const int rank = environment.rank();
  tp_rank_ = rank % tp;
  cp_rank_ = rank / tp % cp;
  dp_rank_ = rank / (tp * cp) % dp;
  pp_rank_ = rank / (tp * cp * dp);

  // A group's color is its members' common coordinates, its order the coordinate that differs.
  const int place_in_stage = rank % (dp * cp * tp);
  dp_ = environment.split((pp_rank_ * cp + cp_rank_) * tp + tp_rank_, dp_rank_, "dp");
  pp_ = environment.split(place_in_stage, pp_rank_, "pp");
  tp_ = environment.split(rank / tp, tp_rank_, "tp");
  cp_ = environment.split((pp_rank_ * dp + dp_rank_) * tp + tp_rank_, cp_rank_, "cp");
  replicas_ = environment.split(pp_rank_ * tp + tp_rank_, dp_rank_ * cp + cp_rank_, "dp");
  model_ = environment.split(dp_rank_ * cp + cp_rank_, rank, "model");
}

int Topology::world_rank(int dp_rank, int pp_rank, int cp_rank, int tp_rank) const {
  return ((pp_rank * degrees_.dp + dp_rank) * degrees_.cp + cp_rank) * degrees_.tp + tp_rank;
}

std::unique_ptr<Group> Topology::stages_group(const std::vector<int>& stages) const {
  const bool member = std::find(stages.begin(), stages.end(), pp_rank_) != stages.end();
  const int place_in_stage = world_rank(dp_rank_, 0, cp_rank_, tp_rank_);
  return environment_->split(member ? place_in_stage : -1, pp_rank_, "pp");
}

std::string Topology::tag() const {
  const std::string cp = degrees_.cp > 1 ? build_string(" cp", cp_rank_) : "";
  return build_string("dp", dp_rank_, " pp", pp_rank_, cp, " tp", tp_rank_);
}

}  // namespace lockstep
