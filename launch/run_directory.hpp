// The directory of a run (--output): config.ini, metrics.jsonl, checkpoints/, heartbeat, DONE,
// incarnation. Rank 0 alone looks and decides; the others are told.
#pragma once

#include <string>
#include <vector>

#include "launch/incarnation.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

// Checkpoints to try, newest first; none: a fresh run.
struct ResumeChoice {
  std::vector<std::string> candidates;
};

class RunDirectory {
 public:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }

  // Collective. Makes the directory. True when DONE exists: says so. Throws AgreedError when the
  // path is no directory, cannot be written, or holds a run although resume is "never".
  bool finished(const Environment& environment, const std::string& resume) const;
  // Collective. From now on this start owns the run: an older one that still lives ends when it
  // notices. Removes what killed ones left.
  void take_over(const Environment& environment);
  const Incarnation& incarnation() const { return incarnation_; }  // of rank 0
  std::int64_t incarnation_number() const { return number_; }      // on every rank
  const std::string& word() const { return word_; }                // in temporary names

  // Collective. resume: auto | never | PATH.
  ResumeChoice choose(const Environment& environment, const std::string& resume) const;
  void write_config(const std::string& ini) const;
  // At the end: what older starts, still dying when this one began, left since. A warning at most.
  void tidy() const;

 private:
  void clean(std::int64_t newest) const;

  std::string path_, word_;
  std::int64_t number_ = 0;
  Incarnation incarnation_;
};

}  // namespace lockstep
