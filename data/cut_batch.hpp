// A microbatch as one rank of a cut sequence sees it (core/sequence_cut.hpp): its chunks of tokens
// and segments, the targets that stand in them, labels where position 0 is. Lengths and sample
// numbers stay those of the whole samples.
#pragma once

#include "core/model/batch.hpp"

namespace lockstep {

// T of the whole must be a multiple of 2 cut.size; a cut of size 1 is the batch itself.
Batch cut_batch(const Batch& whole, SequenceCut cut);

}  // namespace lockstep
