#include "parallel/mpi/environment.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <malloc.h>
#include <optional>
#include <string_view>
#include <utility>

#include <mpi.h>

#include "core/say.hpp"
#include "parallel/mpi/check.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/mpi/deadline.hpp"
#include "parallel/mpi/group.hpp"
#include "parallel/mpi/launcher.hpp"
#include "parallel/mpi/nccl_group.hpp"
#include "parallel/mpi/progress.hpp"

namespace lockstep {
namespace {

// How long the ranks wait for each other when an exception leaves the environment: on all alike
// they meet at once.
constexpr std::chrono::seconds patience_at_the_end{5};

// Open MPI's collectives and large messages take and return scratch for each call; freshly mapped
// pages cost more than the copy (measured: up to twice the bandwidth with these). They must be set
// before MPI's first allocation.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
  mallopt(M_TOP_PAD, 64 << 20);
}

void start_mpi() {
  keep_freed_memory();
  int provided = MPI_THREAD_SINGLE;
  mpi::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
  mpi::check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  mpi::check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
  if (provided < MPI_THREAD_FUNNELED) {
    fail("this MPI library allows no threads (", mpi_library_version(),
         "): use one built with at least MPI_THREAD_FUNNELED");
  }
}

// True when all ranks come here within the patience.
bool all_ranks_meet() {
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(MPI_COMM_WORLD, &request) != MPI_SUCCESS) return false;
  const auto deadline = std::chrono::steady_clock::now() + patience_at_the_end;
  int done = 0;
  while (done == 0 && std::chrono::steady_clock::now() < deadline) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
  }
  return done != 0;
}

struct Failure {
  std::string message;
  ExitCode code;
  bool speaker;  // false: another rank speaks for the same failure
};

std::optional<Failure> failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const AgreedError& error) {
    return Failure{error.what(), error.code(), error.speaker()};
  } catch (const Error& error) {
    return Failure{error.what(), error.code(), true};
  } catch (const std::exception& error) {
    return Failure{error.what(), ExitCode::failed, true};
  }
  return std::nullopt;
}

// One row a line: three names without blanks, three numbers.
std::string print_rows(const std::vector<TrafficRow>& rows) {
  std::ostringstream out;
  for (const TrafficRow& row : rows) {
    out << row.axis << ' ' << row.what << ' ' << row.operation << ' ' << row.messages << ' '
        << row.elements << ' ' << row.bytes << '\n';
  }
  return out.str();
}

void add_printed_rows(std::vector<TrafficRow>& rows, const std::string& text) {
  std::istringstream in(text);
  TrafficRow row;
  while (in >> row.axis >> row.what >> row.operation >> row.messages >> row.elements >> row.bytes) {
    add_traffic(rows, row);
  }
}

}  // namespace

struct Environment::Parts {
  bool launched = false;
  int local_rank = 0, local_size = 1;
  int uncaught_at_start = std::uncaught_exceptions();
  Traffic traffic;
  std::unique_ptr<CommunicationLog> log;
  mpi::Progress progress;
  Transport transport = Transport::staged;
  std::unique_ptr<Group> world;

  std::unique_ptr<Group> make_group(mpi::Communicator communicator, const std::string& axis) {
    if (communicator.size() == 1) return std::make_unique<LocalGroup>();
    auto plain = std::make_unique<mpi::MpiGroup>(std::move(communicator), axis, progress, traffic);
    plain->set_limits({.direct = transport == Transport::direct});
    std::unique_ptr<Group> group = std::move(plain);
    if (transport == Transport::nccl)
      group = std::make_unique<mpi::NcclGroup>(std::move(group), axis, traffic);
    if (!log) return group;
    return std::make_unique<TracedGroup>(std::move(group), axis, *log);
  }
};

Environment::Environment(Alone) : parts_(std::make_unique<Parts>()) {
  parts_->world = std::make_unique<LocalGroup>();
}

Environment::Environment() : parts_(std::make_unique<Parts>()) {
  if (!mpi::started_by_launcher()) {
    parts_->world = std::make_unique<LocalGroup>();
    return;
  }
  const mpi::Deadline deadline("MPI_Init", mpi::told_rank(),
                               mpi::patience_with_mpi(mpi::told_size()));
  start_mpi();
  parts_->launched = true;
  const auto node = mpi::Communicator::of_node(MPI_COMM_WORLD);
  parts_->local_rank = node.rank();
  parts_->local_size = node.size();
  parts_->world = parts_->make_group(mpi::Communicator::duplicate(MPI_COMM_WORLD), "world");
}

Environment::~Environment() {
  if (!parts_->launched) return;
  if (std::uncaught_exceptions() > parts_->uncaught_at_start && !all_ranks_meet()) {
    say(build_string("lockstep: error: rank ", rank(), " of ", size(),
                     " ends alone because of an exception; ending all ranks"));
    abort(ExitCode::failed);
  }
  const mpi::Deadline deadline("MPI_Finalize", rank(), mpi::patience_with_mpi(size()));
  parts_->world.reset();
  if (MPI_Finalize() != MPI_SUCCESS) {
    std::fputs("lockstep: error: MPI_Finalize failed\n", stderr);
    std::terminate();
  }
}

int Environment::rank() const { return parts_->world->rank(); }
int Environment::size() const { return parts_->world->size(); }
int Environment::local_rank() const { return parts_->local_rank; }
int Environment::local_size() const { return parts_->local_size; }
Group& Environment::world() const { return *parts_->world; }

std::unique_ptr<Group> Environment::split(int color, int key, const std::string& axis) const {
  if (!parts_->launched) return color < 0 ? nullptr : std::make_unique<LocalGroup>();
  auto communicator = mpi::Communicator::split(MPI_COMM_WORLD, color, key);
  if (communicator.empty()) return nullptr;
  return parts_->make_group(std::move(communicator), axis);
}

void Environment::use_transport(Transport transport) const { parts_->transport = transport; }

void Environment::agree(const std::function<void()>& body) const {
  const std::optional<Failure> own = failure_of(body);
  const int speaker = own && own->speaker ? rank() : size();
  Tensor lowest = Tensor::from<std::int32_t>({speaker}, {1});
  world().all_reduce(lowest, Reduce::min, "agreement");
  const int root = lowest.data<std::int32_t>()[0];
  if (root == size()) return;
  std::string message = own ? own->message : "";
  broadcast_text(world(), message, root);
  Tensor code = Tensor::from<std::int32_t>({own ? static_cast<std::int32_t>(own->code) : 0}, {1});
  world().broadcast(code, root, "agreement");
  throw AgreedError(message, static_cast<ExitCode>(code.data<std::int32_t>()[0]), root == rank());
}

void Environment::abort(ExitCode code) const {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  if (parts_->launched) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

Activity& Environment::activity() const { return parts_->progress.activity(); }

const std::vector<TrafficRow>& Environment::traffic() const { return parts_->traffic.rows(); }
void Environment::reset_traffic() const { parts_->traffic.reset(); }

void Environment::start_log() const {
  if (parts_->log) return;
  parts_->log = std::make_unique<CommunicationLog>();
  if (size() > 1) {
    parts_->world = std::make_unique<TracedGroup>(std::move(parts_->world), "world", *parts_->log);
  }
}

std::vector<CommunicationEvent> Environment::take_log() const {
  return parts_->log ? parts_->log->take() : std::vector<CommunicationEvent>{};
}

std::vector<TrafficRow> Environment::sum_traffic(const std::vector<TrafficRow>& rows) const {
  const std::string own = print_rows(rows);
  std::vector<TrafficRow> total;
  for (int root = 0; root < size(); ++root) {
    std::string text = own;
    broadcast_text(world(), text, root);
    add_printed_rows(total, text);
  }
  return total;
}

// "Open MPI v4.1.4, package: ..." or "MPICH Version:\t4.0.2\n...".
std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  mpi::check(MPI_Get_library_version(text, &length));
  std::string version(text, static_cast<std::size_t>(length));
  version = version.substr(0, version.find_first_of(",\n"));
  if (const auto at = version.find(" v"); at != std::string::npos) version.erase(at + 1, 1);
  constexpr std::string_view mpich = " Version:\t";
  if (const auto at = version.find(mpich); at != std::string::npos) {
    version.replace(at, mpich.size(), " ");
  }
  return version;
}

}  // namespace lockstep
