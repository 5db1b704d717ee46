// The grid of ranks: dp x pp x cp x tp, tp fastest, then cp, dp, pp:
// world rank = ((pp_rank dp + dp_rank) cp + cp_rank) tp + tp_rank.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/group.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

struct Degrees {
  int dp = 1, pp = 1, cp = 1, tp = 1;
  int ranks() const { return dp * pp * cp * tp; }
  bool operator==(const Degrees&) const = default;
};

// dp follows from the number of ranks; a dp given (above 0) is checked. Throws Error (wrong_ranks)
// naming degrees and ranks.
Degrees resolve_degrees(int ranks, int dp, int pp, int cp, int tp);

class Topology {
 public:
  // Collective; degrees.ranks() == environment.size(). The environment must outlive the topology.
  Topology(const Environment& environment, Degrees degrees);

  const Degrees& degrees() const { return degrees_; }
  int dp_rank() const { return dp_rank_; }
  int pp_rank() const { return pp_rank_; }
  int cp_rank() const { return cp_rank_; }
  int tp_rank() const { return tp_rank_; }
  Group& world() const { return *world_; }
  Group& dp() const { return *dp_; }
  Group& pp() const { return *pp_; }
  Group& cp() const { return *cp_; }
  Group& tp() const { return *tp_; }
  // The dp x cp ranks that hold the same parameters and share their gradient, dp slower; counted
  // under dp.
  Group& replicas() const { return *replicas_; }
  Group& model() const { return *model_; }  // the pp x tp ranks that hold one replica's parameters
  // World rank of given coordinates.
  int world_rank(int dp_rank, int pp_rank, int cp_rank, int tp_rank) const;
  // Collective over the world: among ranks with the same (dp, cp, tp), those whose stage is in
  // `stages`; null on the others.
  std::unique_ptr<Group> stages_group(const std::vector<int>& stages) const;
  std::string tag() const;  // "dp0 pp1 tp1", with cp where sequences are cut

 private:
  const Environment* environment_;
  Degrees degrees_;
  int dp_rank_ = 0, pp_rank_ = 0, cp_rank_ = 0, tp_rank_ = 0;
  Group* world_;
  std::unique_ptr<Group> dp_, pp_, cp_, tp_, replicas_, model_;
};

}  // namespace lockstep
