#include "launch/signals.hpp"

#include <atomic>
#include <csignal>
#include <initializer_list>
#include <thread>

namespace lockstep {
namespace {

std::atomic<bool> requested = false;  // written by the thread that waits for signals

void request(int) { requested = true; }

}  // namespace

// The signals are blocked and waited for: oneDNN's sgemm (seen in 2.6.3) uses the stack pointer for
// data, so that the frame of a handler that interrupts it lands in the heap. The threads made later
// inherit the mask. The handler tells whoever asks the system that the process catches them.
void catch_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) std::signal(signal, request);
  std::thread([signals] {
    for (int signal = 0;;) {
      if (sigwait(&signals, &signal) == 0) requested = true;
    }
  }).detach();
}

bool stop_requested() { return requested; }

}  // namespace lockstep
