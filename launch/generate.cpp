// `lockstep generate`: text from a causal model, one token at a time; the newest max_positions
// tokens are its context.
#include "launch/generate.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>

#include "core/random.hpp"
#include "data/corpus.hpp"
#include "launch/saved_model.hpp"
#include "launch/throughput.hpp"

namespace lockstep {
namespace {

std::unique_ptr<Tokenizer> open_generate_tokenizer(const GenerateOptions& options,
                                                   const SavedModel& saved) {
  if (options.tokenizer) return open_tokenizer(*options.tokenizer);
  const auto corpus = saved.meta.layout.find("corpus");
  require(corpus != saved.meta.layout.end(), saved.step_directory,
          " does not say which corpus it was trained on: give --tokenizer");
  return open_corpus_tokenizer(corpus->second);
}

// The index drawn by `u` in [0, 1) from softmax(logits / temperature) cut to top_k and top_p; ties
// go to the lower id.
std::int32_t pick(const std::vector<double>& logits, const GenerateOptions& options, double u) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  if (options.temperature == 0) return order.front();
  if (options.top_k > 0 && options.top_k < static_cast<index_t>(order.size())) {
    order.resize(static_cast<std::size_t>(options.top_k));
  }
  std::vector<double> weights;
  const double largest = logits[static_cast<std::size_t>(order.front())];
  for (std::int32_t id : order) {
    weights.push_back(
        std::exp((logits[static_cast<std::size_t>(id)] - largest) / options.temperature));
  }
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  double kept = 0;
  std::size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options.top_p * all))
    kept += weights[count++];
  double rest = u * kept;
  for (std::size_t i = 0; i < count; ++i) {
    rest -= weights[i];
    if (rest < 0) return order[i];
  }
  return order[count - 1];
}

std::vector<double> next_logits(Trainer& trainer, const std::vector<std::int32_t>& context_ids) {
  const auto T = static_cast<index_t>(context_ids.size());
  Batch batch{
      .B = 1,
      .T = T,
      .tokens = Tensor::from(context_ids, {T}),
      .segments = {},
      .lengths = {},
      .sample_ids = Tensor::from(std::vector<std::int64_t>{0}, {1}),
      .target_rows = Tensor::from(std::vector<std::int32_t>{static_cast<std::int32_t>(T - 1)}, {1}),
      .target_ids = {},
      .labels = {},
      .cut = {},
      .row_starts = {}};
  batch = batch.to(trainer.config().device);
  Context context;
  context.training = false;
  context.batch = batch.view();
  const Tensor logits = trainer.stage().logits(batch, {}, context).to(Device{});
  std::vector<double> values(static_cast<std::size_t>(logits.count()));
  for (index_t i = 0; i < logits.count(); ++i) {
    values[static_cast<std::size_t>(i)] = logits.dtype() == DType::f64
                                              ? logits.data<double>()[i]
                                              : static_cast<double>(logits.data<float>()[i]);
  }
  return values;
}

double uniform(std::uint64_t seed, int sample, std::size_t position) {
  const PhiloxCounter words =
      philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(sample), 0, 0},
             philox_key(seed, hash_name("generate")));
  return (static_cast<double>(words[0]) * 4294967296.0 + static_cast<double>(words[1])) * 0x1p-64;
}

}  // namespace

int run_generate(const Environment& environment, const GenerateOptions& options) {
  set_threads(environment, options.threads);
  SavedModel saved;
  Degrees degrees;
  Device device;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::int32_t> prompt;
  environment.agree([&] {
    degrees = resolve_degrees(environment.size(), 1, options.layout.pp, options.layout.cp,
                              options.layout.tp);
    require(options.layout.pp == 1, "--pp ", options.layout.pp,
            ": text is generated on one stage; use --tp");
    require(options.layout.cp == 1, "--cp ", options.layout.cp,
            ": a prompt is not cut into parts; use --tp");
    saved = open_saved_model(options.checkpoint, options.step, options.layout, options.precision);
    device = choose_device(environment, options.device, saved.precision);
    require(saved.model.objective == Objective::causal, "--checkpoint ", options.checkpoint,
            ": a model trained with --objective ", name_of(saved.model.objective),
            " does not generate text; use a causal one");
    tokenizer = open_generate_tokenizer(options, saved);
    require(tokenizer->vocab_size() <= saved.model.vocab_size, "the tokenizer has ",
            tokenizer->vocab_size(), " ids, the model ", saved.model.vocab_size,
            ": give the --tokenizer the model was trained with");
    tokenizer->encode(options.prompt, prompt);
    if (prompt.empty() && tokenizer->specials().eod) prompt.push_back(*tokenizer->specials().eod);
    require(!prompt.empty(),
            "--prompt is empty, and the tokenizer has no end-of-document id to start from");
  });
  choose_transport(environment, options.transport, device);
  Trainer trainer(environment, inference_config(saved, degrees, device));
  trainer.load(saved.step_directory, true);
  for (int sample = 0; sample < options.samples; ++sample) {
    std::vector<std::int32_t> ids = prompt;
    for (index_t i = 0; i < options.tokens; ++i) {
      const auto length =
          std::min<std::size_t>(ids.size(), static_cast<std::size_t>(saved.model.max_positions));
      const std::vector<std::int32_t> context_ids(ids.end() - static_cast<std::ptrdiff_t>(length),
                                                  ids.end());
      ids.push_back(pick(next_logits(trainer, context_ids), options,
                         uniform(options.seed, sample, ids.size())));
      if (tokenizer->specials().eod == ids.back()) break;
    }
    if (environment.rank() == 0) std::cout << tokenizer->decode(ids) << std::endl;
  }
  return 0;
}

}  // namespace lockstep
