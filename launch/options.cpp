#include "launch/options.hpp"

#include "core/error.hpp"
#include "launch/option_checks.hpp"
#include "launch/time_limit.hpp"

namespace lockstep {
namespace {

template <typename T>
std::optional<int> narrow(const std::optional<T>& value) {
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

std::optional<DType> precision_if(const OptionValues& values) {
  const auto name = values.text_if("precision");
  return name ? std::optional<DType>(precision_named(*name)) : std::nullopt;
}

ModelOptions read_model(const OptionValues& values) {
  ModelOptions model;
  model.model = values.text("model");
  model.layers = values.integer_if("layers");
  model.heads = values.integer_if("heads");
  model.width = values.integer_if("width");
  model.ffn_width = values.integer_if("ffn-width");
  model.max_positions = values.integer_if("max-positions");
  model.vocab_size = values.integer_if("vocab-size");
  model.sequence_length = values.integer_if("sequence-length");
  model.vocab_multiple = values.integer("vocab-multiple");
  if (const auto text = values.text_if("positions")) {
    model.positions = *text == "learned" ? Positions::learned : Positions::sinusoidal;
  }
  if (const auto text = values.text_if("norm"))
    model.norm = *text == "pre" ? NormPlace::pre : NormPlace::post;
  if (const auto text = values.text_if("activation")) {
    model.activation = *text == "gelu"        ? Activation::gelu
                       : *text == "gelu-tanh" ? Activation::gelu_tanh
                                              : Activation::relu;
  }
  if (const auto text = values.text_if("bias")) model.bias = *text == "yes";
  model.dropout = values.real_if("dropout");
  model.attention_dropout = values.real_if("attention-dropout");
  if (const auto text = values.text_if("objective")) {
    model.objective = *text == "causal" ? Objective::causal
                      : *text == "mlm"  ? Objective::mlm
                                        : Objective::mlm_nsp;
  }
  return model;
}

// eval and generate run forward only: they have no schedule, ZeRO or recompute.
LayoutOptions read_layout(const OptionValues& values, bool training) {
  LayoutOptions layout;
  layout.tp = static_cast<int>(values.integer("tp"));
  layout.pp = static_cast<int>(values.integer("pp"));
  layout.cp = static_cast<int>(values.integer("cp"));
  layout.dp = narrow(values.integer_if("dp")).value_or(0);
  if (!training) return layout;
  layout.schedule = values.text("schedule");
  layout.schedule_file = values.text_if("schedule-file");
  layout.virtual_stages = narrow(values.integer_if("virtual-stages")).value_or(0);
  layout.sequence_parallel = values.flag("sequence-parallel");
  layout.zero = values.text("zero") == "1";
  const std::string& recompute = values.text("recompute");
  layout.recompute = recompute == "full"        ? Recompute::full
                     : recompute == "selective" ? Recompute::selective
                                                : Recompute::none;
  return layout;
}

NumericsOptions read_numerics(const OptionValues& values) {
  return {.precision = precision_named(values.text("precision")),
          .device = device_choice_named(values.text("device")),
          .transport = transport_choice_named(values.text("transport")),
          .attention = attention_choice_named(values.text("attention")),
          .threads = narrow(values.integer_if("threads")).value_or(0),
          .reproducible = values.flag("reproducible"),
          .gpu = {.cuda_graph = values.flag("cuda-graph"),
                  .gelu_epilogue = values.flag("gelu-epilogue"),
                  .tf32 = values.flag("tf32")}};
}

// DIR, or DIR:WEIGHT; a colon without a number behind it belongs to the directory.
std::pair<std::string, double> read_corpus(const std::string& text, const std::string& typed) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, 1.0};
  const auto weight = parse_real(text.substr(colon + 1));
  if (!weight) return {text, 1.0};
  require(*weight > 0 && colon > 0, typed, " is ", text,
          "; it must be DIR or DIR:WEIGHT with a weight above 0");
  return {text.substr(0, colon), *weight};
}

void check_layout_effects(const OptionValues& values, const LayoutOptions& layout) {
  require_effect(values, "schedule", layout.pp > 1,
                 "with one pipeline stage; leave it out or raise --pp");
  require_effect(values, "schedule-file", layout.pp > 1,
                 "with one pipeline stage; leave it out or raise --pp");
  require_effect(values, "schedule", !layout.schedule_file, "with --schedule-file");
  require_effect(values, "virtual-stages", !layout.schedule_file, "with --schedule-file");
  require_effect(values, "virtual-stages", layout.pp > 1,
                 "with one pipeline stage; leave it out or raise --pp");
  require_effect(values, "sequence-parallel", layout.tp > 1 || !layout.sequence_parallel,
                 "with --tp 1; leave it out or raise --tp");
}

void read_optimizer(RunOptions& run) {
  const OptionValues& values = run.values;
  run.steps = values.integer("steps");
  run.learning_rate = values.real("learning-rate");
  run.min_learning_rate = values.real("min-learning-rate");
  run.warmup_steps = values.integer("warmup-steps");
  const std::string& decay = values.text("decay");
  run.decay = decay == "cosine"   ? Decay::cosine
              : decay == "linear" ? Decay::linear
                                  : Decay::constant;
  run.decay_steps = values.integer_if("decay-steps").value_or(run.steps);
  run.weight_decay = values.real("weight-decay");
  run.beta1 = values.real("beta1");
  run.beta2 = values.real("beta2");
  run.epsilon = values.real("epsilon");
  run.clip_norm = values.real("clip-norm");
  const bool decays = run.decay != Decay::constant;
  require_effect(values, "decay-steps", decays, "with --decay constant");
  require_effect(values, "min-learning-rate", decays, "with --decay constant");
}

// START:STEPS
void read_batch_ramp(RunOptions& run) {
  const auto text = run.values.text_if("batch-ramp");
  if (!text) return;
  const std::size_t colon = text->find(':');
  const std::int64_t start = parse_integer(text->substr(0, colon)).value_or(0);
  const std::int64_t steps =
      colon == std::string::npos ? 0 : parse_integer(text->substr(colon + 1)).value_or(0);
  require(start >= 1 && steps >= 1 && steps <= 1000000000, run.values.typed("batch-ramp"), " is ",
          *text,
          "; it must be START:STEPS, sequences of the first step and steps until "
          "--global-batch-size, both from 1");
  require(run.global_batch_size % start == 0 && start % run.microbatch_size == 0,
          run.values.typed("batch-ramp"), " starts at ", start,
          ", which must divide --global-batch-size ", run.global_batch_size,
          " and be a multiple of --microbatch-size ", run.microbatch_size);
  run.ramp_start = start;
  run.ramp_steps = steps;
}

void read_data(RunOptions& run) {
  const OptionValues& values = run.values;
  for (const std::string& text : values.list("corpus")) {
    run.corpora.push_back(read_corpus(text, values.typed("corpus")));
  }
  run.validation_corpus = values.text_if("validation-corpus");
  run.mask_probability = values.real("mask-probability");
  run.seed = static_cast<std::uint64_t>(values.integer("seed"));
  run.prefetch = static_cast<int>(values.integer("prefetch"));
  run.microbatch_size = values.integer("microbatch-size");
  run.global_batch_size = values.integer("global-batch-size");
  check_batch(values, run.global_batch_size, run.microbatch_size, 1);
  read_batch_ramp(run);
}

void read_durability(RunOptions& run) {
  const OptionValues& values = run.values;
  run.save_async = values.text("save") == "async";
  run.watchdog_seconds = values.real("watchdog-seconds");
  if (const auto text = values.text_if("time-limit")) {
    run.time_limit = parse_duration(*text);
    require(run.time_limit.has_value(), values.typed("time-limit"), " is ", *text,
            "; it must be seconds above 0, or HH:MM:SS");
  }
  const std::string& choice = values.text("on-nonfinite");
  run.on_nonfinite = choice == "skip"     ? OnNonFinite::skip
                     : choice == "rewind" ? OnNonFinite::rewind
                                          : OnNonFinite::stop;
  run.verify_every = values.integer("verify-every");
  require(run.verify_every == 0 || run.numerics.reproducible, values.typed("verify-every"), " ",
          run.verify_every,
          " needs --reproducible: otherwise two ranks may differ in bits and both be right");
  for (const std::string& spec : values.list("drill")) {
    if (spec != "none") run.drills.push_back(parse_drill(spec, values.typed("drill")));
  }
}

void read_run(RunOptions& run) {
  const OptionValues& values = run.values;
  run.output = values.text("output");
  run.resume = values.text("resume");
  run.checkpoint_every = values.integer("checkpoint-every");
  run.checkpoint_minutes = values.real("checkpoint-minutes");
  run.keep = static_cast<int>(values.integer("keep"));
  run.keep_every = values.integer("keep-every");
  run.exit_at_step = values.integer_if("exit-at-step");
  run.validate_every = values.integer("validate-every");
  run.validation_sequences = values.integer_if("validation-sequences").value_or(0);
  run.log_every = values.integer("log-every");
  run.hash_weights = values.flag("hash-weights") || run.numerics.reproducible;
  run.trace = values.flag("trace");
  require(!run.trace || !run.numerics.gpu.cuda_graph,
          "--trace does not go with --cuda-graph: an op of a graph has no time of its own; ",
          "leave one out");
  require_effect(values, "validation-sequences", run.validate_every > 0,
                 "without --validate-every");
  require_effect(values, "validation-corpus", run.validate_every > 0, "without --validate-every");
  require(!run.exit_at_step || *run.exit_at_step <= run.steps, values.typed("exit-at-step"), " ",
          run.exit_at_step.value_or(0), " has no effect: it lies past ", values.typed("steps"), " ",
          run.steps);
}

RunOptions read_run_options_of(Command command, const std::vector<std::string>& arguments) {
  RunOptions run(OptionValues(command, arguments));
  run.model = read_model(run.values);
  run.layout = read_layout(run.values, true);
  run.numerics = read_numerics(run.values);
  read_data(run);
  read_optimizer(run);
  read_run(run);
  read_durability(run);
  check_layout_effects(run.values, run.layout);
  return run;
}

}  // namespace

DType precision_named(const std::string& name) {
  if (name == "fp64") return DType::f64;
  return name == "bf16" ? DType::bf16 : DType::f32;
}

RunOptions read_run_options(const std::vector<std::string>& arguments) {
  return read_run_options_of(Command::pretrain, arguments);
}

VerifyOptions read_verify_options(const std::vector<std::string>& arguments) {
  VerifyOptions verify{read_run_options_of(Command::verify, arguments), {}, 0, false};
  verify.layout = verify.run.layout;
  verify.steps = verify.run.values.integer("verify-steps");
  verify.json = verify.run.values.flag("json");
  return verify;
}

BenchOptions read_bench_options(const std::vector<std::string>& arguments) {
  BenchOptions bench(OptionValues(Command::bench, arguments));
  const OptionValues& values = bench.values;
  bench.model = read_model(values);
  bench.layout = read_layout(values, true);
  bench.numerics = read_numerics(values);
  bench.seed = static_cast<std::uint64_t>(values.integer("seed"));
  bench.microbatch_size = values.integer("microbatch-size");
  bench.global_batch_size = values.integer("global-batch-size");
  bench.steps = values.integer("steps");
  bench.natural_lengths = values.flag("natural-lengths");
  bench.json = values.flag("json");
  check_batch(values, bench.global_batch_size, bench.microbatch_size, 1);
  check_layout_effects(values, bench.layout);
  return bench;
}

EvalOptions read_eval_options(const std::vector<std::string>& arguments) {
  const OptionValues values(Command::eval, arguments);
  EvalOptions eval;
  eval.layout = read_layout(values, false);
  eval.precision = precision_if(values);
  eval.device = device_choice_named(values.text("device"));
  eval.transport = transport_choice_named(values.text("transport"));
  eval.attention = attention_choice_named(values.text("attention"));
  eval.threads = narrow(values.integer_if("threads")).value_or(0);
  eval.reproducible = values.flag("reproducible");
  eval.checkpoint = values.text("checkpoint");
  eval.step = values.integer_if("step");
  eval.corpus = values.text("corpus");
  eval.split = values.text("split");
  eval.microbatch_size = values.integer("microbatch-size");
  eval.json = values.flag("json");
  return eval;
}

GenerateOptions read_generate_options(const std::vector<std::string>& arguments) {
  const OptionValues values(Command::generate, arguments);
  GenerateOptions generate;
  generate.layout = read_layout(values, false);
  generate.precision = precision_if(values);
  generate.device = device_choice_named(values.text("device"));
  generate.transport = transport_choice_named(values.text("transport"));
  generate.threads = narrow(values.integer_if("threads")).value_or(0);
  generate.checkpoint = values.text("checkpoint");
  generate.step = values.integer_if("step");
  generate.tokenizer = values.text_if("tokenizer");
  generate.prompt = values.text("prompt");
  generate.tokens = values.integer("tokens");
  generate.temperature = values.real("temperature");
  generate.top_k = values.integer("top-k");
  generate.top_p = values.real("top-p");
  generate.samples = static_cast<int>(values.integer("samples"));
  generate.seed = static_cast<std::uint64_t>(values.integer("seed"));
  for (const char* name : {"top-k", "top-p", "seed"}) {
    require_effect(values, name, generate.temperature > 0,
                   "with --temperature 0, which takes the likeliest token");
  }
  return generate;
}

}  // namespace lockstep
