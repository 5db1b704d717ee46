// Cores near a GPU: copies to and from it cross no link between sockets.
#pragma once

#include <string>
#include <vector>

#include "core/device.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

std::vector<int> usable_cores();  // those this process may run on, ascending

// The cores of the NUMA node that a PCI device hangs on, ascending; empty when the system does not
// know. sysfs: "/sys", another root in tests.
std::vector<int> cores_near(const std::string& pci_address, const std::string& sysfs = "/sys");

// Rank `local_rank`'s part of what is in `allowed` and in near[local_rank] both. near: of the GPU
// of each rank of the node, in order of local rank; those with the same cores share them in equal
// parts, unless the launcher has bound each to its own (bound). Empty: nothing is to be done.
std::vector<int> cores_of_rank(const std::vector<int>& allowed,
                               const std::vector<std::vector<int>>& near,
                               int local_rank,
                               bool bound);

// Before the threads of a rank are counted and pinned (launch/throughput). Keeps the rank to its
// cores near its GPU, but not to fewer than `threads` (0: as many as there are), and not where
// OMP_PROC_BIND says what to do.
void stay_near(const Environment& environment, Device device, int threads);

}  // namespace lockstep
