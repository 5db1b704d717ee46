#include "parallel/mpi/check.hpp"

#include <string_view>

#include <mpi.h>

#include "core/error.hpp"

namespace lockstep::mpi {

void check(int code, const char* file, int line) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  const std::string_view path = file;
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  fail("MPI: ", std::string_view(text, static_cast<std::size_t>(length)), " (", name, ":", line,
       ")");
}

}  // namespace lockstep::mpi
