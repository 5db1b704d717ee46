// Where a run goes on: the newest whole checkpoint of its directory (or the one asked for), and
// what a checkpoint says of the run so that the next start can tell that it is the same one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "launch/options.hpp"
#include "launch/run_directory.hpp"
#include "launch/run_setup.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

struct Place {
  std::int64_t step = 0;     // the last one done
  std::int64_t skipped = 0;  // steps' worth of data left out by rewinds
};

class Continuation {
 public:
  // All must outlive this.
  Continuation(const Environment& environment,
               const RunOptions& options,
               const RunSetup& setup,
               const RunDirectory& directory,
               Trainer& trainer);

  CheckpointMeta meta(const Place& place) const;
  // Collective. Loads the newest checkpoint that is whole into the trainer and says where it was
  // made; without any, the trainer gets its first weights. Throws Error when there are checkpoints
  // and none is whole, or when one is of another run: seed, corpus, model or batch differ.
  std::optional<Place> go_on();

 private:
  bool load(const std::string& step_directory, Place& place);

  const Environment& environment_;
  const RunOptions& options_;
  const RunSetup& setup_;
  const RunDirectory& directory_;
  Trainer& trainer_;
  std::map<std::string, std::string> settings_;
};

}  // namespace lockstep
