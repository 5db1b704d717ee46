// The text files a vocabulary is learned from.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Files as given, directories replaced by all regular files below them, sorted by path. Error
// (refused) naming what is absent.
std::vector<std::string> list_training_files(const std::vector<std::string>& inputs);
// Calls take(text) with consecutive parts of the file, cut behind line ends, so that a large file
// needs little memory. gzip is recognised by its content. Error (failed) when the file cannot be
// read to its end.
void for_each_part(const std::string& path, const std::function<void(std::string_view)>& take);

}  // namespace lockstep
