// What an action that must fail says, and the exit code it carries.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace lockstep::test {

struct Failure {
  std::string message;
  ExitCode code = ExitCode::done;

  bool names(const std::string& word) const { return message.find(word) != std::string::npos; }
};

template <typename Action>
Failure error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.what(), error.code()};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace lockstep::test
