// The commands that need no MPI, and the entry to all. Each takes its checked values and returns an
// exit code.
#pragma once

#include <string>
#include <vector>

#include "launch/option_values.hpp"

namespace lockstep {

int run_corpus_build(const OptionValues& values);
int run_corpus_info(const OptionValues& values);
int run_corpus_verify(const OptionValues& values);
int run_corpus_show(const OptionValues& values);
int run_tokenizer_train(const OptionValues& values);
int run_tokenizer_encode(const OptionValues& values);
int run_tokenizer_decode(const OptionValues& values);
int run_checkpoint_info(const OptionValues& values);
int run_checkpoint_verify(const OptionValues& values);
int run_schedule_show(const OptionValues& values);
int run_trace_merge(const OptionValues& values);
int run_models();
int run_version();

// arguments: those of the program, without its name. Prints errors; returns the exit code.
int run_command_line(const std::vector<std::string>& arguments);

}  // namespace lockstep
