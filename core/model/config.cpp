#include "core/model/config.hpp"

#include <limits>
#include <numeric>

#include "core/error.hpp"

namespace lockstep {
namespace {

// Ids and rows travel as int32; a size above is a typing error, and products of two sizes stay
// within index_t.
constexpr index_t largest_size = std::numeric_limits<std::int32_t>::max();

// The plan and the parameter table hold a row per layer.
constexpr index_t most_layers = 10000;

void require_size(const char* option, index_t value, index_t largest = largest_size) {
  require(value >= 1 && value <= largest, option, " ", value, " is out of range: from 1 to ",
          largest);
}

void require_probability(const char* option, double value) {
  require(value >= 0 && value < 1, option, " ", value, " is out of range: at least 0 and below 1");
}

void require_positive(const char* what, double value) {
  require(value > 0 && value <= std::numeric_limits<double>::max(), what, " ", value,
          " must be a positive number");
}

}  // namespace

void ModelConfig::resolve(index_t multiple, int tp) {
  require_size("--heads", heads);
  require_size("--width", width);
  require_size("--vocab-size", vocab_size);
  require_size("--vocab-multiple", multiple);
  require_size("--tp", tp);
  if (head_size == 0 && width % heads == 0) head_size = width / heads;
  mask = objective == Objective::causal ? Mask::causal : Mask::full;
  const index_t step = std::lcm(multiple, index_t{tp});
  padded_vocab = (vocab_size + step - 1) / step * step;
  require(padded_vocab <= largest_size, "--vocab-multiple ", multiple, " with --tp ", tp,
          " pads the vocabulary of ", vocab_size, " to ", padded_vocab, " rows, the most is ",
          largest_size, ": choose a smaller --vocab-multiple");
}

void ModelConfig::validate() const {
  require_size("--layers", layers, most_layers);
  require_size("--heads", heads);
  require_size("--width", width);
  require_size("--ffn-width", ffn_width);
  require_size("--vocab-size", vocab_size);
  require_size("--max-positions", max_positions);
  if (head_size == 0) {
    require(width % heads == 0, "--width ", width, " must be a multiple of --heads ", heads,
            ": each head takes an equal share of the width");
  } else {
    require_size("head size", head_size);
    require(head_size <= largest_size / heads, "--heads ", heads, " of size ", head_size,
            " are too wide: at most ", largest_size, " columns together");
  }
  require(padded_vocab == 0 || padded_vocab >= vocab_size, "--vocab-size ", vocab_size,
          " is more than its padded rows, ", padded_vocab);
  require(segment_types >= 0 && segment_types <= largest_size, "segment types ", segment_types,
          " are out of range: 0 for none, 2 for BERT");
  require_probability("--dropout", dropout);
  require_probability("--attention-dropout", attention_dropout);
  require_positive("norm epsilon", norm_epsilon);
  require_positive("initial standard deviation", init_stddev);
  require(
      !(final_norm && mlm_transform),
      "a final norm and an MLM transform cannot both stand before the head: they share its norm");
  require((mask == Mask::causal) == (objective == Objective::causal), "--objective ",
          name_of(objective),
          objective == Objective::causal ? " needs the causal mask" : " needs the full mask");
}

void ModelConfig::validate_layout(int tp, int pp) const {
  require(tp >= 1, "--tp ", tp, " must be at least 1");
  require(pp >= 1, "--pp ", pp, " must be at least 1");
  require(heads % tp == 0, "--tp ", tp, " must divide --heads ", heads,
          ": every tensor-parallel rank takes the same number of heads");
  require(ffn_width % tp == 0, "--tp ", tp, " must divide --ffn-width ", ffn_width,
          ": every tensor-parallel rank takes the same number of columns");
  require(padded_vocab == 0 || padded_vocab % tp == 0, "--tp ", tp,
          " must divide the padded vocabulary of ", padded_vocab,
          " rows: choose --vocab-multiple a multiple of ", tp);
  require(pp <= layers, "--pp ", pp, " needs at least ", pp, " --layers, there ",
          layers == 1 ? "is " : "are ", layers, ": every pipeline stage holds at least one");
}

void ModelConfig::validate_sequence_length(index_t sequence_length) const {
  require(sequence_length >= 1 && sequence_length <= max_positions, "--sequence-length ",
          sequence_length, " must be from 1 to --max-positions ", max_positions,
          ": shorten it, or raise --max-positions");
}

const char* name_of(NormPlace place) { return place == NormPlace::pre ? "pre" : "post"; }

const char* name_of(Positions positions) {
  return positions == Positions::learned ? "learned" : "sinusoidal";
}

const char* name_of(Objective objective) {
  switch (objective) {
    case Objective::causal:
      return "causal";
    case Objective::mlm:
      return "mlm";
    case Objective::mlm_nsp:
      return "mlm-nsp";
  }
  return "?";
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu-tanh";
    case Activation::relu:
      return "relu";
  }
  return "?";
}

}  // namespace lockstep
