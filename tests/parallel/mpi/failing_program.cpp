// failing_program WAY: ends in one of the ways that ranks can end, for abort_test. Prints "ranks N"
// first.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "parallel/mpi/environment.hpp"

namespace lockstep {
namespace {

int last(const Environment& environment) { return environment.size() - 1; }

// The others wait for a message that never comes.
void wait_in_vain(const Environment& environment) {
  Tensor x = Tensor::zeros({4}, DType::f32);
  if (environment.rank() != last(environment)) {
    environment.world().receive(x, last(environment), 1, "test");
  }
}

void throw_on_last_rank(const Environment& environment) {
  if (environment.rank() == last(environment)) throw Error("lost its shard", ExitCode::failed);
  wait_in_vain(environment);
}

// The failing rank has a receive under way whose sender waits as well.
void throw_with_receive_pending(const Environment& environment) {
  Tensor x = Tensor::zeros({4}, DType::f32);
  if (environment.rank() == last(environment)) {
    const Pending pending = environment.world().start_receive(x, 0, 2, "test");
    throw Error("lost its shard", ExitCode::failed);
  }
  wait_in_vain(environment);
}

void agree_on_failure(const Environment& environment) {
  environment.agree([&] {
    if (environment.rank() == last(environment)) {
      throw Error("lost its shard", ExitCode::wrong_ranks);
    }
  });
}

// All ranks unwind alike, each with a message under way that has no receiver.
void agree_with_receive_pending(const Environment& environment) {
  Tensor x = Tensor::zeros({4}, DType::f32);
  const int peer = (environment.rank() + 1) % environment.size();
  const Pending pending = environment.world().start_receive(x, peer, 2, "test");
  agree_on_failure(environment);
}

// Large enough to wait for its receiver.
void agree_with_send_pending(const Environment& environment) {
  const Tensor x = Tensor::zeros({1 << 22}, DType::f32);
  const int peer = (environment.rank() + 1) % environment.size();
  const Pending pending = environment.world().start_send(x, peer, 2, "test");
  agree_on_failure(environment);
}

void run(const Environment& environment, const std::string& way) {
  if (way == "throw") throw_on_last_rank(environment);
  if (way == "throw_with_receive_pending") throw_with_receive_pending(environment);
  if (way == "agree") agree_on_failure(environment);
  if (way == "agree_with_receive_pending") agree_with_receive_pending(environment);
  if (way == "agree_with_send_pending") agree_with_send_pending(environment);
  if (way == "kill" && environment.rank() == last(environment)) std::raise(SIGKILL);
  if (way == "kill") wait_in_vain(environment);
}

// Errors of all ranks come back as codes; those of one rank end all.
int guarded(const std::string& way) {
  const Environment environment;
  if (environment.rank() == 0) std::cout << "ranks " << environment.size() << std::endl;
  try {
    run(environment, way);
  } catch (const AgreedError& error) {
    if (error.speaker()) std::cerr << "error: " << error.what() << '\n';
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    std::cerr << "error: " << error.what() << '\n';
    environment.abort(error.code());
  }
  return 0;
}

// The exception leaves the environment before it is caught.
int unguarded(const std::string& way) {
  try {
    const Environment environment;
    run(environment, way);
  } catch (const Error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return static_cast<int>(error.code());
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  const std::string way = argc > 1 ? argv[1] : "";
  const bool outside = argc > 2;
  return outside ? lockstep::unguarded(way) : lockstep::guarded(way);
}
