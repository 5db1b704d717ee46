#include "parallel/mpi/launcher.hpp"

#include <cstdlib>

namespace lockstep::mpi {
namespace {

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

}  // namespace

bool started_by_launcher() {
  if (is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMI_RANK") || is_set("PMIX_RANK")) return true;
  const bool slurm_step = is_set("SLURM_PROCID") && is_set("SLURM_STEP_ID");
  return slurm_step && (is_set("PMIX_NAMESPACE") || is_set("PMI_FD") || is_set("PMI_PORT"));
}

}  // namespace lockstep::mpi
