// Files that are whole or absent after a crash. Every function throws Error (failed) naming path
// and cause.
#pragma once

#include <string>

namespace lockstep {

// Writes `temporary` (default: path + ".tmp"; in the same directory), fsyncs, renames, fsyncs the
// directory.
void write_file_durably(const std::string& path, const std::string& content);
void write_file_durably(const std::string& path,
                        const std::string& content,
                        const std::string& temporary);
void fsync_file(const std::string& path);
void fsync_directory(const std::string& path);
void rename_durably(const std::string& from,
                    const std::string& to);      // and fsyncs the parent of `to`
std::string read_file(const std::string& path);  // Error (refused) when it cannot be read

}  // namespace lockstep
