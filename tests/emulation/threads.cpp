// The threads of a block as fibers of one CPU thread. A fiber runs until it meets a barrier; a
// barrier opens when all fibers of the block, or of the warp, that have not ended stand at it.
// Blocks of every other launch start with their last thread, so that a missing barrier shows.
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#include "tests/emulation/include/cuda_runtime.h"

namespace emulation {
namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10;
constexpr int lanes = 32;
constexpr int most_threads = 1024;

enum class State { ready, at_block, at_warp, ended };

// Made once with a stack of its own, then resumed by jumps, which unlike swapcontext need no system
// call.
struct Fiber {
  jmp_buf at{};
  void* stack = nullptr;
  State state = State::ended;
  ThreadPlace place{};
  // Slots of the warp's exchanges by turns: a lane that is ahead writes the other one.
  std::array<std::uint64_t, 2> brought{};
  unsigned exchanges = 0;
};

class Block {
 public:
  void run(dim3 blocks, Index block, dim3 threads, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    num_threads_ = static_cast<int>(threads.x * threads.y * threads.z);
    for (int i = 0; i < num_threads_; ++i) start(i, blocks, block, threads);
    backwards_ = !backwards_;
    while (round()) {
    }
  }

  Fiber& running() { return fibers_[static_cast<std::size_t>(running_)]; }

  void wait(State state) {
    running().state = state;
    if (_setjmp(running().at) == 0) _longjmp(scheduler_, 1);
  }

  std::uint64_t exchange(std::uint64_t bits, int source) {
    Fiber& me = running();
    const unsigned turn = me.exchanges++ % 2;
    me.brought[turn] = bits;
    const int warp_first = running_ / lanes * lanes;
    wait(State::at_warp);
    return fibers_[static_cast<std::size_t>(warp_first + source)].brought[turn];
  }

  int lane() const { return running_ % lanes; }

 private:
  static void enter();

  void start(int i, dim3 blocks, Index block, dim3 threads) {
    Fiber& fiber = fibers_[static_cast<std::size_t>(i)];
    const auto x = static_cast<unsigned>(i);
    fiber.place = {{x % threads.x, x / threads.x % threads.y, x / threads.x / threads.y},
                   block,
                   threads,
                   blocks};
    fiber.state = State::ready;
    fiber.exchanges = 0;
  }

  // Until the running fiber waits or ends.
  void resume() {
    if (_setjmp(scheduler_) != 0) return;
    Fiber& fiber = running();
    if (fiber.stack != nullptr) _longjmp(fiber.at, 1);
    fiber.stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber.stack == MAP_FAILED) std::abort();
    ucontext_t context{}, never{};
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    context.uc_stack.ss_size = stack_bytes;
    makecontext(&context, &Block::enter, 0);
    swapcontext(&never, &context);
  }

  // Runs each ready fiber once, then opens barriers; false when all have ended.
  bool round() {
    int ended = 0;
    for (int k = 0; k < num_threads_; ++k) {
      running_ = backwards_ ? num_threads_ - 1 - k : k;
      if (running().state == State::ready) resume();
      ended += running().state == State::ended ? 1 : 0;
    }
    if (ended == num_threads_) return false;
    bool opened = open(0, num_threads_, State::at_block);
    for (int first = 0; first < num_threads_; first += lanes) {
      const int last = first + lanes < num_threads_ ? first + lanes : num_threads_;
      opened = open(first, last, State::at_warp) || opened;
    }
    if (!opened) {
      std::fputs("emulated kernel: threads wait at different barriers\n", stderr);
      std::abort();
    }
    return true;
  }

  bool open(int first, int last, State barrier) {
    bool any = false;
    for (int i = first; i < last; ++i) {
      const State state = fibers_[static_cast<std::size_t>(i)].state;
      if (state != barrier && state != State::ended) return false;
      any = any || state == barrier;
    }
    for (int i = first; i < last; ++i) {
      State& state = fibers_[static_cast<std::size_t>(i)].state;
      if (state == barrier) state = State::ready;
    }
    return any;
  }

  std::array<Fiber, most_threads> fibers_{};
  jmp_buf scheduler_{};
  const std::function<void()>* kernel_ = nullptr;
  int num_threads_ = 0, running_ = 0;
  bool backwards_ = true;
};

Block& the_block() {
  static Block* block = new Block;
  return *block;
}

void Block::enter() {
  Block& block = the_block();
  for (;;) {
    (*block.kernel_)();
    block.wait(State::ended);
  }
}

}  // namespace

const ThreadPlace& place() { return the_block().running().place; }
void wait_for_block() { the_block().wait(State::at_block); }
std::uint64_t exchange(std::uint64_t bits, int source) {
  return the_block().exchange(bits, source);
}
int lane() { return the_block().lane(); }

void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& kernel) {
  for (unsigned z = 0; z < blocks.z; ++z) {
    for (unsigned y = 0; y < blocks.y; ++y) {
      for (unsigned x = 0; x < blocks.x; ++x) {
        the_block().run(blocks, {x, y, z}, threads, kernel);
      }
    }
  }
}

}  // namespace emulation
