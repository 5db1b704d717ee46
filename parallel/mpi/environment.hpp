// MPI's life in this process, and how ranks fail together. A process that no launcher started (no OMPI_*, PMI*, or SLURM
// step variables) never calls MPI_Init: its world is a LocalGroup. MPI_THREAD_FUNNELED; MPI_ERRORS_RETURN on every communicator.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "core/group.hpp"

namespace lockstep {

// The same failure as agreed by all ranks (see Environment::agree). speaker: this rank prints it.
class AgreedError : public Error {
 public:
  AgreedError(const std::string& message, ExitCode code, bool speaker)
      : Error(message, code), speaker_(speaker) {}
  bool speaker() const { return speaker_; }

 private:
  bool speaker_;
};

class Environment {
 public:
  Environment();   // sets the malloc tunables, then MPI_Init_thread when launched
  ~Environment();  // MPI_Finalize
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this node
  int local_size() const;
  Group& world() const;
  // Collective. Ranks with equal color, ordered by key; a LocalGroup when alone.
  std::unique_ptr<Group> split(int color, int key) const;

  // Collective. Runs body on every rank; when it threw Error on some, throws AgreedError with the lowest such rank's message
  // and code on all: nobody is left waiting, and one line is printed. body must not call collectives after it can throw.
  void agree(const std::function<void()>& body) const;

  // Ends all ranks with this code when they cannot be reached in an orderly way. Never returns.
  [[noreturn]] void abort(ExitCode code) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// "Open MPI 4.1.4", for `lockstep version`.
std::string mpi_library_version();

}  // namespace lockstep
