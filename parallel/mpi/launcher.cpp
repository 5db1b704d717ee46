#include "parallel/mpi/launcher.hpp"

#include <cstdlib>
#include <initializer_list>

namespace lockstep::mpi {
namespace {

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

// Of the first variable that is set; `otherwise` when that is no number.
int number_of(std::initializer_list<const char*> variables, int otherwise) {
  for (const char* variable : variables) {
    if (is_set(variable)) {
      const int number = std::atoi(std::getenv(variable));
      return number > otherwise ? number : otherwise;
    }
  }
  return otherwise;
}

}  // namespace

bool started_by_launcher() {
  if (is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMI_RANK") || is_set("PMIX_RANK")) return true;
  const bool slurm_step = is_set("SLURM_PROCID") && is_set("SLURM_STEP_ID");
  return slurm_step && (is_set("PMIX_NAMESPACE") || is_set("PMI_FD") || is_set("PMI_PORT"));
}

int told_rank() {
  return number_of({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}, 0);
}
int told_size() {
  return number_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1);
}

}  // namespace lockstep::mpi
