// The rows of the options table, group by group, and the words they are written with. Only the
// table and the files of this folder include it.
#pragma once

#include <vector>

#include "launch/options_table.hpp"

namespace lockstep {

constexpr unsigned bit(Command command) { return static_cast<unsigned>(command); }
inline constexpr unsigned kPretrain = bit(Command::pretrain);
inline constexpr unsigned kEval = bit(Command::eval);
inline constexpr unsigned kGenerate = bit(Command::generate);
inline constexpr unsigned kBench = bit(Command::bench);
inline constexpr unsigned kBuild = bit(Command::corpus_build);
inline constexpr unsigned kTrain = bit(Command::tokenizer_train);
inline constexpr unsigned kCode = bit(Command::tokenizer_encode) | bit(Command::tokenizer_decode);
inline constexpr unsigned kSchedule = bit(Command::schedule_show);
inline constexpr unsigned kModel = kPretrain | kBench;
inline constexpr unsigned kRanks = kPretrain | kEval | kGenerate | kBench;
inline constexpr unsigned kJson = kEval | kBench | bit(Command::verify) | kSchedule |
                                  bit(Command::corpus_info) | bit(Command::checkpoint_info);

inline constexpr double kMany = 1e9;    // counts of steps, sequences, rows
inline constexpr double kHuge = 1e300;  // any finite number
inline constexpr double kDegree = 1e6;

std::vector<OptionRow> model_rows();
std::vector<OptionRow> checkpoint_rows();
std::vector<OptionRow> data_rows();
std::vector<OptionRow> optimizer_rows();
std::vector<OptionRow> layout_rows();
std::vector<OptionRow> numerics_rows();
std::vector<OptionRow> run_rows();
std::vector<OptionRow> text_rows();
std::vector<OptionRow> other_rows();

}  // namespace lockstep
