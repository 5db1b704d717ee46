// Which variables tell that mpirun, mpiexec or srun started this process, as one rank of several.
#pragma once

namespace lockstep::mpi {

// False for a plain shell, also inside a Slurm allocation (sbatch sets SLURM_PROCID without a PMI).
bool started_by_launcher();

}  // namespace lockstep::mpi
