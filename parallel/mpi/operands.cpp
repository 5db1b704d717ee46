#include "parallel/mpi/operands.hpp"

#include "core/error.hpp"

namespace lockstep::mpi {

Tensor flatten(const Tensor& x, const char* what) {
  if (!x.contiguous())
    fail(what, ": rows of ", x.shape().to_string(), " are not adjacent in memory");
  return x.reshape({x.count()});
}

void require_sum(const Tensor& x, const char* what) {
  if (x.dtype() == DType::u8 || x.dtype() == DType::bf16)
    fail(what, ": ", name_of(x.dtype()), " elements have no sum over ranks");
}

}  // namespace lockstep::mpi
