// What the crash tests run: continues the newest valid checkpoint under DIR, saves the next STEPS
// steps and keeps the newest two, the way `lockstep pretrain` does, without the training.
//   checkpoint_program DIR STEPS
// stdout: "from N" once it has continued, "ack N" for each step that is saved, at once. Exit code 1
// with a line on stderr when no valid checkpoint is left though there are some, 3 for wrong
// content.
#include <cstdlib>
#include <iostream>
#include <unistd.h>

#include "core/error.hpp"
#include "launch/incarnation.hpp"
#include "tests/parallel/checkpoint/run_state.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep::test {

// The tests' state looks its environment up here; this program has no MPI main.
Environment& environment() {
  static Environment made;
  return made;
}

namespace {

void say(const std::string& word, std::int64_t step) {
  const std::string line = build_string(word, " ", step, "\n");
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::exit(4);
}

// The step continued from; 0: nothing was there.
std::int64_t load_newest(RunState& state, const std::string& checkpoints) {
  const std::vector<std::string> found = list_checkpoints(checkpoints);
  for (const std::string& candidate : found) {
    try {
      const CheckpointMeta meta = read_meta(candidate);
      state.load(candidate);
      if (state.num_wrong() != 0) std::exit(3);
      return meta.step;
    } catch (const Error& error) {
      std::cerr << error.what() << "\n";
    }
  }
  if (!found.empty()) fail("no valid checkpoint is left under ", checkpoints);
  return 0;
}

int run(const std::string& directory, std::int64_t steps) {
  const std::string checkpoints = directory + "/checkpoints";
  const Incarnation incarnation = Incarnation::take(directory);
  clean_leftovers(checkpoints, incarnation.number());
  RunState state{Layout{}};
  const std::int64_t from = load_newest(state, checkpoints);
  say("from", from);
  state.fill();
  SaverConfig config;
  config.checkpoints = checkpoints;
  config.word = incarnation.word();
  config.keep = 2;
  config.before_rename = [&incarnation] { incarnation.check(); };
  const auto saver = state.saver(config);
  for (std::int64_t step = from + 1; step <= from + steps; ++step) {
    try {
      saver->start(RunState::meta(step), state.optimizer());
      const SaveResult result = saver->finish();
      say("ack", step);
      if (!result.warning.empty()) std::cerr << result.warning << "\n";
    } catch (const Error& error) {
      std::cerr << error.what() << "\n";
    }
  }
  return 0;
}

}  // namespace
}  // namespace lockstep::test

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    return lockstep::test::run(argv[1], std::atol(argv[2]));
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
