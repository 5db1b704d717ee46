// Which variables tell that mpirun, mpiexec or srun started this process, as one rank of several.
#pragma once

namespace lockstep::mpi {

// False for a plain shell, also inside a Slurm allocation (sbatch sets SLURM_PROCID without a PMI).
bool started_by_launcher();

// What the launcher told this process, for use before MPI_Init; 0 and 1 when it told nothing.
int told_rank();
int told_size();

}  // namespace lockstep::mpi
