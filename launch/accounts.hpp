// What a run reports of itself before its end: the traffic of its last step, how long its pipeline
// stood idle, and memory by what it is for.
#pragma once

#include <cstdint>
#include <vector>

#include "launch/memory.hpp"
#include "launch/report.hpp"
#include "launch/trainer.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/traffic.hpp"

namespace lockstep {

struct Accounts {
  std::int64_t step = 0;            // the last one done
  std::vector<TrafficRow> traffic;  // of this rank in it
  MemoryFacts memory;
};

// Collective; report: null where another rank writes it.
void report_accounts(const Environment& environment,
                     const Trainer& trainer,
                     const Accounts& accounts,
                     Report* report);

}  // namespace lockstep
