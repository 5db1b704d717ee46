#include "parallel/pipeline/forward_pass.hpp"

#include <algorithm>

namespace lockstep {

ForwardPass::ForwardPass(const PipelineSetting& setting,
                         const std::vector<Batch>& batches,
                         const Context& context)
    : setting_(setting), context_(context) {
  for (const Batch& batch : batches) {
    if (batch.B > 0) batches_.push_back(&batch);
  }
  // A group's sends are waited for before the group after next begins: never by a rank whose work
  // the receiver still needs.
  const std::size_t together =
      setting.stages.size() == 1 ? 2 : 2 * static_cast<std::size_t>(setting.schedule.stages);
  for (std::size_t first = 0; first < batches_.size(); first += together) {
    for (const int v : setting.numbers) {
      for (std::size_t m = first; m < std::min(first + together, batches_.size()); ++m) {
        visits_.push_back({first / together, v, m});
      }
    }
  }
}

void ForwardPass::execute() {
  Transfer next = post(0);
  for (std::size_t i = 0; i < visits_.size(); ++i) {
    Transfer input = std::move(next);
    next = post(i + 1);
    input.wait();
    forward(visits_[i], input.bundle);
  }
  for (auto& sent : sent_) sent.second.wait();
}

std::vector<TensorSpec> ForwardPass::border(const Visit& visit) const {
  return setting_.stage(visit.v).border(batches_[visit.m]->rows());
}

int ForwardPass::tag(int border, const Visit& visit) const {
  return setting_.tag(border, static_cast<int>(visit.m), Direction::onward);
}

Transfer ForwardPass::post(std::size_t i) const {
  if (i >= visits_.size()) return {};
  const Visit& visit = visits_[i];
  if (visit.v == 0 || setting_.here(visit.v - 1)) return {};
  return start_receive(setting_.pp, border(visit), setting_.peer(visit.v - 1),
                       tag(visit.v - 1, visit), Direction::onward);
}

void ForwardPass::forward(const Visit& visit, const Bundle& received) {
  while (!sent_.empty() && sent_.front().first + 1 < visit.group) {
    sent_.front().second.wait();
    sent_.pop_front();
  }
  const Stage& stage = setting_.stage(visit.v);
  Context context = context_;
  context.batch = batches_[visit.m]->view();
  const Stage::SavedHandle saved = stage.make_saved();
  const bool handed = visit.v > 0 && setting_.here(visit.v - 1);
  Bundle output =
      stage.forward(*batches_[visit.m], handed ? take(visit.m) : received, *saved, context);
  if (visit.v + 1 == setting_.all()) return;
  if (setting_.here(visit.v + 1)) {
    handed_.push_back({visit.m, std::move(output)});
  } else {
    sent_.emplace_back(visit.group, start_send(setting_.pp, std::move(output), border(visit),
                                               setting_.peer(visit.v + 1), tag(visit.v, visit),
                                               Direction::onward));
  }
}

Bundle ForwardPass::take(std::size_t m) {
  assert(!handed_.empty() && handed_.front().first == m);
  (void)m;
  Bundle bundle = std::move(handed_.front().second);
  handed_.pop_front();
  return bundle;
}

}  // namespace lockstep
