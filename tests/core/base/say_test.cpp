#include "core/say.hpp"

#include <array>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// stderr as a pipe that keeps writes apart (O_DIRECT, pipe(7)).
class Packets {
 public:
  Packets() {
    EXPECT_EQ(::pipe2(ends_.data(), O_DIRECT | O_NONBLOCK), 0);
    before_ = ::dup(STDERR_FILENO);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~Packets() {
    ::dup2(before_, STDERR_FILENO);
    for (const int file : {before_, ends_[0], ends_[1]}) ::close(file);
  }
  Packets(const Packets&) = delete;
  Packets& operator=(const Packets&) = delete;

  std::string next() const {
    std::array<char, 4096> text{};
    const ssize_t length = ::read(ends_[0], text.data(), text.size());
    return length < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(length));
  }

 private:
  std::array<int, 2> ends_{};
  int before_ = -1;
};

TEST(Say, WritesALineAtOnce) {
  const Packets packets;
  say("one");
  say("lines\nof a message");
  EXPECT_EQ(packets.next(), "one\n");
  EXPECT_EQ(packets.next(), "lines of a message\n");
  EXPECT_EQ(packets.next(), "");
}

TEST(Say, DoesNotMindThatNobodyListens) {
  const int before = ::dup(STDERR_FILENO);
  ::close(STDERR_FILENO);
  say("lost");
  ::dup2(before, STDERR_FILENO);
  ::close(before);
}

}  // namespace
}  // namespace lockstep
