// A microbatch without its rows of padding: each sample has as many rows as tokens, one behind the
// other (Batch::row_starts). What every row computes stays the same; sums over rows leave out
// zeros.
#pragma once

#include "core/model/batch.hpp"

namespace lockstep {

// The number of rows is brought to a multiple of `multiple`, which must divide T, by rows of
// padding of samples that had some. A batch without padding is given back as it is.
Batch unpad(const Batch& padded, index_t multiple);

}  // namespace lockstep
