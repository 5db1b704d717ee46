// oracle_check GOLD.h5 [--precision fp64|fp32|bf16] [--device cpu|cuda] [--tp N] [--pp N]
// [--schedule S]
// [--microbatch-size N], under mpirun: gradients of step 1, losses and gradient norms of all AdamW
// steps and the weights after them against a gold file.
//
// Relative L2 errors ||a - b|| / ||b|| per tensor in double. A key bias has the true gradient 0
// (softmax does not see it): its difference is measured against 1e-3 of the gradient norm, and its
// weights are left out. In fp32 and bf16 every difference of gradients is measured against at least
// 1e-2 of the gradient norm: a sum that cancels holds little but rounding.
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "core/model/unpad.hpp"
#include "launch/attention_choice.hpp"
#include "launch/device_choice.hpp"
#include "launch/failure.hpp"
#include "launch/options.hpp"
#include "launch/trainer.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/gold_file.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {
namespace {

struct Arguments {
  std::string gold, precision = "fp32", device = "cpu", schedule = "1f1b";
  int tp = 1, pp = 1;
  index_t microbatch_size = 0;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  std::map<std::string, std::string*> texts{{"--precision", &arguments.precision},
                                            {"--device", &arguments.device},
                                            {"--schedule", &arguments.schedule}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      require(arguments.gold.empty(), "one gold file at a time: ", arguments.gold, " and ", word);
      arguments.gold = word;
      continue;
    }
    require(i + 1 < argc, word, " needs a value");
    const std::string value = argv[++i];
    if (texts.count(word) == 1) {
      *texts[word] = value;
      continue;
    }
    require(word == "--tp" || word == "--pp" || word == "--microbatch-size", "unknown option ",
            word);
    char* end = nullptr;
    const long number = std::strtol(value.c_str(), &end, 10);
    require(*end == '\0' && number >= 1 && number <= 1 << 20, word, " ", value,
            ": not a count from 1");
    if (word == "--tp") arguments.tp = static_cast<int>(number);
    if (word == "--pp") arguments.pp = static_cast<int>(number);
    if (word == "--microbatch-size") arguments.microbatch_size = number;
  }
  require(!arguments.gold.empty(),
          "usage: oracle_check GOLD.h5 [--precision fp64|fp32|bf16] [--tp N] [--pp N] ...");
  require(arguments.precision == "fp64" || arguments.precision == "fp32" ||
              arguments.precision == "bf16",
          "--precision ", arguments.precision, ": fp32, fp64 or bf16");
  require(arguments.device == "cpu" || arguments.device == "cuda", "--device ", arguments.device,
          ": cpu or cuda");
  return arguments;
}

// The greater of the two, and NaN when either is.
void raise(double& worst, double error) {
  if (!(error <= worst)) worst = std::isnan(worst) ? worst : error;
}

// Compares one rank's part of `store` with the gold tensors; elements are counted on the one rank
// that owns them.
class Comparison {
 public:
  Comparison(Trainer& trainer, const GoldFile& gold) : trainer_(trainer), gold_(gold) {
    for (const ParameterStore::Entry& entry : trainer.store().entries())
      entries_[entry.row->name] = &entry;
  }

  void load_weights() {
    Tensor host_values = trainer_.store().values().to(Device{});
    for (const GoldTensor& tensor : gold_.tensors()) {
      const std::vector<double> values = gold_.values("weights", tensor);
      each_element(tensor, [&](const ParameterStore::Entry& entry, index_t at, index_t gold_at) {
        Tensor value = host_values.range(entry.offset, entry.rectangle.count());
        set_value(value, at, values[static_cast<std::size_t>(gold_at)]);
      });
    }
    trainer_.store().values().copy_from(host_values);
    trainer_.store().round_values();
  }

  // Squared distance and squared gold norm over all ranks.
  std::pair<double, double> distance(const GoldTensor& tensor,
                                     const std::string& group,
                                     bool of_gradient,
                                     double factor) {
    const std::vector<double> values = gold_.values(group, tensor);
    std::vector<double> sums{0, 0};
    const ParameterStore& store = trainer_.store();
    const Tensor all = (of_gradient ? store.gradients() : store.values()).to(Device{});
    each_element(tensor, [&](const ParameterStore::Entry& entry, index_t at, index_t gold_at) {
      if (!owned(entry)) return;
      if (!of_gradient && tensor.name.ends_with("attn.c_attn.bias") &&
          gold_at >= tensor.shape[0] / 3 && gold_at < 2 * (tensor.shape[0] / 3)) {
        return;  // the key third
      }
      const Tensor mine = all.range(entry.offset, entry.rectangle.count());
      const double wanted = values[static_cast<std::size_t>(gold_at)];
      const double difference = value_at(mine, at) * factor - wanted;
      sums[0] += difference * difference;
      sums[1] += wanted * wanted;
    });
    Tensor total = Tensor::from(sums, {2});
    trainer_.topology().world().all_reduce(total, Reduce::sum, "control");
    return {total.data<double>()[0], total.data<double>()[1]};
  }

 private:
  template <typename F>
  void each_element(const GoldTensor& tensor, F&& f) {
    for (const GoldPart& part : tensor.parts) {
      const auto found = entries_.find(part.canonical);
      if (found == entries_.end()) continue;
      const ParameterStore::Entry& entry = *found->second;
      const Rectangle& r = entry.rectangle;
      for (index_t row = r.row0; row < std::min(r.row1, entry.row->canonical_rows()); ++row) {
        for (index_t column = r.col0; column < r.col1; ++column) {
          f(entry, (row - r.row0) * r.columns() + column - r.col0, tensor.index(part, row, column));
        }
      }
    }
  }

  bool owned(const ParameterStore::Entry& entry) const {
    const Topology& topology = trainer_.topology();
    return topology.dp_rank() == 0 &&
           trainer_.stages().ranks_with(entry.row->uses).front() == topology.pp_rank() &&
           (entry.row->cut.kind == Cut::Kind::dim || topology.tp_rank() == 0);
  }

  Trainer& trainer_;
  const GoldFile& gold_;
  std::map<std::string, const ParameterStore::Entry*> entries_;
};

// As the loader makes them: on CPUs without rows of padding.
StepBatch step_batch(const GoldFile& gold, int step, const Trainer& trainer, index_t microbatch) {
  const Topology& topology = trainer.topology();
  const Span span = span_of(gold.B(), topology.dp_rank(), topology.degrees().dp);
  StepBatch batch;
  for (index_t first = span.first; first < span.first + span.count; first += microbatch) {
    const Batch padded = gold.batch(step, first, microbatch);
    const bool cpu = trainer.config().device.kind == Device::Kind::cpu;
    batch.microbatches.push_back(cpu ? unpad(padded, 1) : padded);
  }
  return batch;
}

TrainerConfig trainer_config(const Arguments& arguments,
                             const GoldFile& gold,
                             Degrees degrees,
                             index_t microbatch) {
  TrainerConfig config;
  config.model = gold.model();
  config.model.resolve(1, degrees.tp);
  config.model.validate();
  config.model.validate_layout(degrees.tp, degrees.pp);
  config.degrees = degrees;
  config.precision = precision_named(arguments.precision);
  config.schedule = make_schedule(arguments.schedule, degrees.pp,
                                  static_cast<int>(gold.B() / degrees.dp / microbatch));
  config.sequence_length = gold.T();
  config.optimizer = gold.optimizer();
  config.clip_norm = gold.clip_norm();
  return config;
}

int run(const Environment& environment, const Arguments& arguments) {
  std::optional<GoldFile> opened;
  TrainerConfig config;
  index_t microbatch = 0;
  environment.agree([&] {
    opened.emplace(arguments.gold);
    const Degrees degrees = resolve_degrees(environment.size(), 0, arguments.pp, 1, arguments.tp);
    require(opened->B() % degrees.dp == 0, "dp ", degrees.dp, " must divide the batch of ",
            opened->B(), " sequences");
    const index_t per_rank = opened->B() / degrees.dp;
    microbatch = arguments.microbatch_size > 0 ? arguments.microbatch_size : per_rank;
    require(per_rank % microbatch == 0, "--microbatch-size ", microbatch, " must divide the ",
            per_rank, " sequences of a rank");
    config = trainer_config(arguments, *opened, degrees, microbatch);
    // Slow where the CPU has no bf16, but right, so not refused here.
    config.device = choose_device(environment, device_choice_named(arguments.device),
                                  value_type(config.precision));
  });
  config.attention = choose_attention(environment, AttentionChoice::automatic, config, microbatch);
  const GoldFile& gold = *opened;
  Trainer trainer(environment, config);
  Comparison comparison(trainer, gold);
  comparison.load_weights();

  const bool fp64 = trainer.config().precision == DType::f64;
  const bool speaks = environment.rank() == 0;
  double worst_gradient = 0, worst_loss = 0, worst_trajectory = 0, worst_weight = 0;
  for (int step = 0; step < gold.num_steps(); ++step) {
    const StepBatch batch = step_batch(gold, step, trainer, microbatch);
    const StepAgreement agreement = trainer.agree(batch, {});
    StepResult result = trainer.compute_gradients(batch, step + 1, agreement.terms);
    const auto at = static_cast<std::size_t>(step);
    const double loss_error = std::abs(result.loss - gold.losses()[at]);
    const double norm_error = std::abs(result.gradient_norm / gold.gradient_norms()[at] - 1);
    if (step == 0) {
      raise(worst_loss, loss_error);
      raise(worst_loss, norm_error);
      const double factor = 1 / static_cast<double>(agreement.terms[0].count);
      for (const GoldTensor& tensor : gold.tensors()) {
        const auto [difference, norm] = comparison.distance(tensor, "grads", true, factor);
        double scale = std::sqrt(norm);
        if (tensor.key_bias) scale = 1e-3 * gold.gradient_norms()[0];
        if (!fp64) scale = std::max(scale, 1e-2 * gold.gradient_norms()[0]);
        const double error = std::sqrt(difference) / scale;
        raise(worst_gradient, error);
        if (speaks) std::printf("gradient %-60s %.2e\n", tensor.name.c_str(), error);
      }
    }
    raise(worst_trajectory, loss_error);
    raise(worst_trajectory, norm_error);
    trainer.apply_gradients(step + 1, gold.learning_rates()[at], result);
  }
  for (const GoldTensor& tensor : gold.tensors()) {
    if (tensor.key_bias) continue;
    const auto [difference, norm] = comparison.distance(tensor, "weights_after", false, 1);
    const double error = std::sqrt(difference / norm);
    raise(worst_weight, error);
    if (speaks) std::printf("weight   %-60s %.2e\n", tensor.name.c_str(), error);
  }
  if (speaks) {
    std::printf("worst gradient %.2e, worst loss %.2e, worst trajectory %.2e, worst weight %.2e\n",
                worst_gradient, worst_loss, worst_trajectory, worst_weight);
  }
  const double bound = oracle_tolerance(trainer.config().precision);
  const double loss_bound = oracle_loss_tolerance(trainer.config().precision);
  const bool good = worst_gradient <= bound && worst_loss <= loss_bound &&
                    worst_trajectory <= loss_bound && worst_weight <= bound;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace lockstep::test

int main(int argc, char** argv) {
  const lockstep::Environment environment;
  return lockstep::guard_ranks(environment, {}, [&] {
    lockstep::test::Arguments arguments;
    environment.agree([&] { arguments = lockstep::test::parse(argc, argv); });
    return lockstep::test::run(environment, arguments);
  });
}
