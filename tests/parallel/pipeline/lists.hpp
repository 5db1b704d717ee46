// Schedules written out by hand: one string of actions per rank, "F0 F1 B0 B1".
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "parallel/pipeline/action.hpp"

namespace lockstep::test {

using Lists = std::vector<std::string>;

inline Lists printed(const Schedule& schedule) {
  Lists lists;
  for (const auto& actions : schedule.actions) {
    std::string list;
    for (const Action& a : actions)
      list += (list.empty() ? "" : " ") + to_string(a, schedule.virtual_stages > 1);
    lists.push_back(list);
  }
  return lists;
}

inline Schedule written(const Lists& lists, int microbatches, bool splits_backward = false) {
  Schedule schedule{.name = "by-hand",
                    .stages = static_cast<int>(lists.size()),
                    .virtual_stages = 1,
                    .microbatches = microbatches,
                    .splits_backward = splits_backward,
                    .actions = {},
                    .placement = Placement::round};
  for (std::size_t rank = 0; rank < lists.size(); ++rank) {
    std::istringstream words(lists[rank]);
    schedule.actions.emplace_back();
    for (std::string word; words >> word;) {
      schedule.actions.back().push_back(parse_action(word, static_cast<int>(rank)));
    }
  }
  return schedule;
}

// The message of the Error that f throws; empty when it throws none.
template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace lockstep::test
