// MPI's life in this process, and how ranks fail together. A process that no launcher started (no
// OMPI_*, PMI*, or SLURM step variables) never calls MPI_Init: its world is a LocalGroup.
// MPI_THREAD_FUNNELED; MPI_ERRORS_RETURN on every communicator.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/group.hpp"
#include "parallel/mpi/activity.hpp"
#include "parallel/mpi/traced_group.hpp"
#include "parallel/mpi/traffic.hpp"
#include "parallel/mpi/transport.hpp"

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

// Outlives every group made by it and every Pending of these groups. An exception that not all
// ranks throw must be caught while it lives, and end in abort().
// Asks for a world of this process alone, whatever a launcher started.
struct Alone {};

class Environment {
 public:
  explicit Environment(Alone);  // calls nothing of MPI; every collective is the identity
  // Sets the malloc tunables, then MPI_Init_thread when launched; that and MPI_Finalize must return
  // in time (parallel/mpi/deadline.hpp).
  Environment();
  // MPI_Finalize; an exception that unwinds this rank alone ends all ranks (ExitCode::failed).
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this node
  int local_size() const;
  Group& world() const;
  // Collective. Ranks with equal color, ordered by key; a LocalGroup when alone. A negative color
  // takes part and gets null. axis: the name under which the group's traffic is counted.
  std::unique_ptr<Group> split(int color, int key, const std::string& axis = "world") const;

  // Of groups made from here on; until then tensors of a GPU are staged.
  void use_transport(Transport transport) const;

  // Collective. Runs body on every rank; when it threw Error on some, throws AgreedError with the
  // lowest such rank's message and code on all: nobody is left waiting, and one line is printed.
  // body must not call collectives after it can throw. Other exceptions count as ExitCode::failed.
  // An AgreedError of an inner agree() keeps its speaker.
  void agree(const std::function<void()>& body) const;

  // Ends all ranks with this code when they cannot be reached in an orderly way. Never returns.
  [[noreturn]] void abort(ExitCode code) const;

  // What this rank does and waits for, for a watchdog's report.
  Activity& activity() const;

  // What all groups of this environment sent since the start or the last reset; see
  // parallel/mpi/traffic.hpp.
  const std::vector<TrafficRow>& traffic() const;
  void reset_traffic() const;
  // From here on the operations of the world and of groups made later are noted, with their times.
  void start_log() const;
  // Those that ended since the last call; none before start_log().
  std::vector<CommunicationEvent> take_log() const;
  // Collective: rows of every rank summed over all ranks, in the same order on each.
  std::vector<TrafficRow> sum_traffic(const std::vector<TrafficRow>& rows) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// "Open MPI 4.1.4", for `lockstep version`.
std::string mpi_library_version();

}  // namespace lockstep
