// hanging_program CALL RANK: in rank RANK the MPI library's CALL, init or finalize, never returns,
// for abort_test.
#include <cstdlib>
#include <string>
#include <unistd.h>

#include <mpi.h>

#include "parallel/mpi/environment.hpp"

namespace {

bool hangs(const std::string& call) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return std::getenv("HANGING_CALL") == call && rank != nullptr &&
         std::string(rank) == std::getenv("HANGING_RANK");
}

void hang_if(bool here) {
  while (here) ::pause();
}

}  // namespace

int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  hang_if(hangs("init"));
  return PMPI_Init_thread(argc, argv, required, provided);
}

int MPI_Finalize() {
  hang_if(hangs("finalize"));
  return PMPI_Finalize();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  ::setenv("HANGING_CALL", argv[1], 1);
  ::setenv("HANGING_RANK", argv[2], 1);
  const lockstep::Environment environment;
  environment.world().barrier();
  return 0;
}
