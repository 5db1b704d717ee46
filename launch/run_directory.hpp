// The directory of a run (--output): config.ini, metrics.jsonl, checkpoints/, heartbeat, DONE. Rank
// 0 alone looks and decides; the others are told.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/environment.hpp"

namespace lockstep {

// Checkpoints to try, newest first; none: a fresh run.
struct ResumeChoice {
  std::vector<std::string> candidates;
};

class RunDirectory {
 public:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}

  std::string checkpoints() const { return path_ + "/checkpoints"; }

  // Collective. Makes the directory, removes leftovers of killed runs. True when DONE exists: says
  // so. Throws AgreedError when the path is no directory, cannot be written, or holds a run
  // although resume is "never".
  bool finished(const Environment& environment, const std::string& resume) const;
  // Collective. resume: auto | never | PATH.
  ResumeChoice choose(const Environment& environment, const std::string& resume) const;
  void write_config(const std::string& ini) const;

 private:
  std::string path_;
};

}  // namespace lockstep
