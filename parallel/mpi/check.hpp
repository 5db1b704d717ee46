// What an MPI call returned, as an Error (failed) with MPI's own words.
#pragma once

namespace lockstep::mpi {

// The place is the caller's. Builtins instead of std::source_location: clang 14 does not have that
// with this library.
void check(int code, const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace lockstep::mpi
