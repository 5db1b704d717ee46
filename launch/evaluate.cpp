// `lockstep eval`: a checkpoint over a whole split.
#include "launch/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>

#include <nlohmann/json.hpp>

#include "data/corpus.hpp"
#include "launch/evaluation.hpp"
#include "launch/reproducible.hpp"
#include "launch/run_setup.hpp"
#include "launch/saved_model.hpp"
#include "launch/throughput.hpp"

namespace lockstep {
namespace {

LoaderConfig loader_config(const EvalOptions& options,
                           const SavedModel& saved,
                           const Topology& topology,
                           Device device) {
  LoaderConfig data;
  data.corpora = {{options.corpus, 1, options.split}};
  data.objective = saved.model.objective;
  data.sequence_length = saved.sequence_length;
  data.microbatch_size = options.microbatch_size;
  data.global_batch_size = options.microbatch_size * topology.degrees().dp;
  data.mask_probability = saved.mask_probability;
  data.seed = saved.meta.seed;
  data.dp_rank = topology.dp_rank();
  data.dp_degree = topology.degrees().dp;
  data.cp_rank = topology.cp_rank();
  data.cp_degree = topology.degrees().cp;
  leave_out_padding(data, topology.degrees(), device, false,
                    fixes_sums(options.reproducible, device));
  return data;
}

nlohmann::ordered_json describe(const Evaluation& evaluation) {
  nlohmann::ordered_json json;
  const double loss = total_loss(evaluation.terms);
  json["loss"] = loss;
  json["perplexity"] = std::exp(loss);
  json["tokens"] = evaluation.tokens;
  for (const auto& [name, value] : figures(evaluation.terms, true)) json[name] = value;
  return json;
}

}  // namespace

int run_eval(const Environment& environment, const EvalOptions& options) {
  set_threads(environment, options.threads);
  SavedModel saved;
  Degrees degrees;
  Device device;
  environment.agree([&] {
    degrees = resolve_degrees(environment.size(), options.layout.dp, options.layout.pp,
                              options.layout.cp, options.layout.tp);
    saved = open_saved_model(options.checkpoint, options.step, options.layout, options.precision,
                             options.reproducible);
    device = choose_device(environment, options.device, saved.precision, options.reproducible);
    const CorpusInfo corpus = read_corpus_info(options.corpus);
    require(required_vocab(options.corpus, saved.model.objective) <= saved.model.vocab_size,
            "--corpus ", options.corpus, " has a vocabulary of ", corpus.vocab_size,
            ", the model one of ", saved.model.vocab_size,
            ": build it with the tokenizer the model was trained with");
    require(
        std::find(corpus.splits.begin(), corpus.splits.end(), options.split) != corpus.splits.end(),
        "--corpus ", options.corpus, " has no split ", options.split);
  });
  choose_transport(environment, options.transport, device, options.reproducible);
  TrainerConfig config = inference_config(saved, degrees, device);
  environment.agree([&] {
    if (fixes_sums(options.reproducible, device)) config.sums = fixed_order(saved.model, degrees);
  });
  config.attention = choose_attention(environment, options.attention, config,
                                      options.microbatch_size, options.reproducible);
  Trainer trainer(environment, config);
  std::unique_ptr<ValidationLoader> loader;
  environment.agree([&] {
    loader = std::make_unique<ValidationLoader>(
        loader_config(options, saved, trainer.topology(), device), 0);
  });
  trainer.load(saved.step_directory, true);
  const nlohmann::ordered_json json = describe(evaluate_all(environment, trainer, *loader));
  if (environment.rank() != 0) return 0;
  if (options.json) {
    std::cout << json.dump() << '\n';
    return 0;
  }
  for (const auto& [name, value] : json.items()) std::cout << name << ' ' << value << '\n';
  return 0;
}

}  // namespace lockstep
