// Our element types in MPI's words.
#pragma once

#include <mpi.h>

#include "core/dtype.hpp"

namespace lockstep::mpi {

inline MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u8:
      return MPI_UINT8_T;
    case DType::bf16:
      return MPI_UINT16_T;  // moved, never summed
  }
  return MPI_DATATYPE_NULL;
}

}  // namespace lockstep::mpi
