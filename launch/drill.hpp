// Fault drills: faults a user orders to see a run survive them before a big job meets real ones.
// Each happens once per run directory: DIR/drills holds those that have begun.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

struct Drill {
  enum class Kind { kill, freeze, slow, nonfinite, bitflip };
  Kind kind = Kind::kill;
  std::int64_t step = 0;
  int rank = 0;
  double seconds = 0;  // of slow
  std::string spec;    // as given
};

// "kill:STEP:RANK", "freeze:STEP:RANK", "slow:STEP:RANK:SECONDS", "nonfinite:STEP[:RANK]",
// "bitflip:STEP:RANK". Throws Error naming `typed` and what is lawful.
Drill parse_drill(const std::string& spec, const std::string& typed);

class Drills {
 public:
  // Collective. Throws AgreedError for a rank that is not there.
  Drills(const Environment& environment, std::vector<Drill> drills, std::string directory);

  // On this rank, before the passes of `step`: what is due happens.
  void before_passes(std::int64_t step, ParameterStore& store);
  // Takes back a number made non-finite, when the step has been dealt with.
  void after_step(ParameterStore& store);

 private:
  void begin(const Drill& drill, ParameterStore& store);

  int rank_;
  std::vector<Drill> drills_;  // those still to come, of this rank
  std::string directory_;
  Tensor replaced_;  // the weight a drill has made non-finite
};

}  // namespace lockstep
