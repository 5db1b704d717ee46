#include "launch/accounts.hpp"

#include <set>
#include <string>

#include "launch/bubble.hpp"

namespace lockstep {
namespace {

// Scalars and control messages are one kind.
void report_traffic(const Environment& environment, const Accounts& accounts, Report* report) {
  static const std::set<std::string> volumes{"layer",      "embedding", "head", "cross_entropy",
                                             "replicated", "stage",     "tied", "gradient",
                                             "parameter",  "attention"};
  std::vector<TrafficRow> rows;
  for (TrafficRow row : environment.sum_traffic(accounts.traffic)) {
    if (volumes.count(row.what) == 0) row.what = "other";
    add_traffic(rows, row);
  }
  if (!report) return;
  for (const TrafficRow& row : rows) {
    report->traffic(
        {accounts.step, row.axis, row.what, row.operation, static_cast<std::uint64_t>(row.messages),
         static_cast<std::uint64_t>(row.elements), static_cast<std::uint64_t>(row.bytes)});
  }
}

void report_pipeline(const Trainer& trainer, std::int64_t step, Report* report) {
  if (trainer.topology().degrees().pp == 1) return;
  const Bubble bubble = measure_bubble(trainer);
  if (!report) return;
  report->pipeline(
      {step, bubble.measured, bubble.simulated, bubble.forward, bubble.backward, bubble.weight});
}

// Predicted and measured, of every stage.
void report_memory(const Trainer& trainer, const Accounts& accounts, Report* report) {
  const Topology& topology = trainer.topology();
  const MemoryParts predicted =
      predict_memory(trainer.config(), accounts.memory, topology.pp_rank(), topology.tp_rank());
  const std::vector<StageMemory> stages =
      memory_by_stage(trainer, predicted, measure_memory(trainer, accounts.memory));
  if (!report) return;
  for (std::size_t pp = 0; pp < stages.size(); ++pp)
    report->memory({accounts.step, static_cast<std::int64_t>(pp), stages[pp]});
}

}  // namespace

void report_accounts(const Environment& environment,
                     const Trainer& trainer,
                     const Accounts& accounts,
                     Report* report) {
  report_traffic(environment, accounts, report);
  report_pipeline(trainer, accounts.step, report);
  report_memory(trainer, accounts, report);
}

}  // namespace lockstep
