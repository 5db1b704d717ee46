// One evaluation pass of a rank: microbatches flow onward, nothing comes back. In groups: a group
// passes a rank's first stage, then its second, so that ranks with several stages work at the same
// time.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "parallel/pipeline/setting.hpp"

namespace lockstep {

class ForwardPass {
 public:
  ForwardPass(const PipelineSetting& setting,
              const std::vector<Batch>& batches,
              const Context& context);

  void execute();

 private:
  struct Visit {
    std::size_t group;
    int v;
    std::size_t m;
  };

  std::vector<TensorSpec> border(const Visit& visit) const;
  int tag(int border, const Visit& visit) const;
  Transfer post(std::size_t i) const;
  void forward(const Visit& visit, const Bundle& received);
  // Handed over in the order of a group, and taken in the same.
  Bundle take(std::size_t m);

  const PipelineSetting& setting_;
  const Context& context_;
  std::vector<const Batch*> batches_;
  std::vector<Visit> visits_;
  std::deque<std::pair<std::size_t, Transfer>> sent_;  // by group
  std::deque<std::pair<std::size_t, Bundle>> handed_;  // microbatch, to a stage of this rank
};

}  // namespace lockstep
