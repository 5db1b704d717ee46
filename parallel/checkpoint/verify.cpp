#include <algorithm>
#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/checkpoint/tile_file.hpp"

namespace lockstep {
namespace {

// Names in the directory that the manifest does not know make it something else than what was
// saved.
void check_no_others(const checkpoint::Manifest& manifest, const std::string& step_directory) {
  std::error_code error;
  std::filesystem::directory_iterator entry(step_directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool known =
        name == checkpoint::manifest_name ||
        std::any_of(manifest.files.begin(), manifest.files.end(),
                    [&](const checkpoint::TileFile& file) { return file.name == name; });
    if (!known)
      fail(step_directory, "/", name,
           " does not belong to the checkpoint: its manifest does not name it");
  }
  if (error) fail("cannot list ", step_directory, ": ", error.message());
}

// "a, b and 14 more"
std::string few_of(const std::vector<std::string>& names) {
  constexpr std::size_t most = 4;
  if (names.empty()) return "none";
  std::string text = names.front();
  for (std::size_t i = 1; i < std::min(names.size(), most); ++i) text += ", " + names[i];
  return names.size() <= most ? text : build_string(text, " and ", names.size() - most, " more");
}

index_t num_elements(const checkpoint::Manifest& manifest) {
  index_t total = 0;
  for (const auto& parameter : manifest.parameters) {
    index_t count = 1;
    for (index_t size : parameter.second) count *= size;
    total += count;
  }
  return total;
}

std::string print_json(const checkpoint::Manifest& manifest) {
  const CheckpointMeta& meta = manifest.meta;
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const checkpoint::TileFile& file : manifest.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}});
  const nlohmann::ordered_json description = {{"step", meta.step},
                                              {"consumed_samples", meta.consumed_samples},
                                              {"incarnation", meta.incarnation},
                                              {"seed", meta.seed},
                                              {"corpus_fingerprint", meta.corpus_fingerprint},
                                              {"options", meta.options},
                                              {"layout", meta.layout},
                                              {"parameters", num_elements(manifest)},
                                              {"bytes", manifest.bytes()},
                                              {"files", files}};
  return description.dump() + "\n";
}

std::string print_text(const checkpoint::Manifest& manifest) {
  const CheckpointMeta& meta = manifest.meta;
  std::ostringstream out;
  out << "step                " << meta.step << "\n"
      << "consumed samples    " << meta.consumed_samples << "\n"
      << "incarnation         " << meta.incarnation << "\n"
      << "seed                " << meta.seed << "\n"
      << "corpus fingerprint  " << meta.corpus_fingerprint << "\n"
      << "parameters          " << num_elements(manifest) << " in " << manifest.parameters.size()
      << " tensors\n"
      << "bytes               " << manifest.bytes() << " in " << manifest.files.size()
      << " files\n";
  out << "saved with         ";
  for (const auto& [name, value] : meta.layout) out << " " << name << "=" << value;
  out << "\n";
  for (const auto& [name, value] : meta.options) out << "  --" << name << " " << value << "\n";
  return out.str();
}

}  // namespace

CheckpointMeta read_meta(const std::string& step_directory) {
  return checkpoint::read_manifest(step_directory).meta;
}

void verify_checkpoint(const std::string& step_directory) {
  const checkpoint::Manifest manifest = checkpoint::read_manifest_alone(step_directory);
  const auto tiles = checkpoint::tiles_by_file(manifest);
  std::string first;
  std::vector<std::string> damaged, whole;
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    try {
      checkpoint::check_file(step_directory, manifest.files[i], tiles[i]);
      whole.push_back(manifest.files[i].name);
    } catch (const Error& error) {
      if (damaged.empty()) first = error.what();
      damaged.push_back(manifest.files[i].name);
    }
  }
  if (!damaged.empty()) fail(first, "; damaged: ", few_of(damaged), "; whole: ", few_of(whole));
  check_no_others(manifest, step_directory);
}

std::string describe_checkpoint(const std::string& step_directory, bool json) {
  const checkpoint::Manifest manifest = checkpoint::read_manifest(step_directory);
  return json ? print_json(manifest) : print_text(manifest);
}

}  // namespace lockstep
