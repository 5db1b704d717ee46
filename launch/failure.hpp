// How a command ends when it cannot go on: one line on stderr, from one rank, and everyone gone
// with the same exit code.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

// "lockstep: error: message", behind prefix ("[rank 3 dp0 pp1 tp1] ").
void print_error(const std::string& message, const std::string& prefix = "");
void print_warning(const std::string& message);
// Empty for rank 0; otherwise with the coordinates, as far as the degrees fit the ranks.
std::string rank_prefix(const Environment& environment, const LayoutOptions& layout);

// "The first to fail speaks": ranks that fail alone at the same time race for a file in a directory
// they share; one gets it.
class FailureClaim {
 public:
  explicit FailureClaim(const Environment& environment);  // collective: agrees on the file's name
  void share(const std::string& directory) { directory_ = directory; }
  bool take();  // true on one rank
  void remove() const;
  // Files that killed runs left in a run directory.
  static void clean(const std::string& directory);

 private:
  std::string name_, directory_, path_;
  bool lone_;
};

// What a rank must know to report its failure; filled as far as the program got.
struct FailureContext {
  LayoutOptions layout;
  std::string output;  // "": the command has no directory
};

// Runs body on every rank and turns what it throws into the exit code. An AgreedError ends all
// ranks together; any other exception on one of several ranks aborts the rest, because they cannot
// be reached in an orderly way.
int guard_ranks(const Environment& environment,
                const FailureContext& context,
                const std::function<int()>& body);
// The same for a single process.
int guard(const std::function<int()>& body);

}  // namespace lockstep
