// What a run holds and a checkpoint keeps, small and with known content: element i of a canonical
// parameter has a value that depends on its name, on i, and on whether it is a weight, m or v; so
// any rank can tell what it must hold.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/saver.hpp"
#include "parallel/topology.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep::test {

struct Layout {
  Degrees degrees;
  bool zero = false;
  std::string to_string() const;
};

// All layouts of `ranks` ranks with a power of two on each axis, with and without ZeRO-1.
std::vector<Layout> layouts_of(int ranks);

// A BERT with tied embedding, 4 layers and a vocabulary (13) that needs other padding for each tp.
ModelConfig small_model(int tp, index_t layers = 4);

class RunState {
 public:
  // Collective.
  RunState(const Layout& layout, DType dtype = DType::f32, index_t layers = 4);

  void fill();        // with the known content
  void fill_wrong();  // with something else, padding too
  // Elements that are not as known (rounded to `dtype` first), padding that is not 0; of this rank.
  index_t num_wrong(bool with_moments = true, DType rounded_to = DType::f32) const;

  SaveResult save(const std::string& checkpoints, std::int64_t step) const;
  std::unique_ptr<CheckpointSaver> saver(const SaverConfig& config) const;
  const OptimizerState& optimizer() const { return optimizer_; }
  void load(const std::string& step_directory, bool with_moments = true);
  std::string hash() const;

  static CheckpointMeta meta(std::int64_t step);

 private:
  Topology topology_;
  ModelConfig config_;
  ParameterTable table_;
  std::vector<StageRange> stages_;
  ParameterStore store_;
  OptimizerState optimizer_;
};

// One directory for all ranks, removed by rank 0. Collective; destroyed after a barrier.
class SharedDirectory {
 public:
  SharedDirectory();
  ~SharedDirectory();
  SharedDirectory(const SharedDirectory&) = delete;
  SharedDirectory& operator=(const SharedDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::optional<TemporaryDirectory> own_;
  std::string path_;
};

// Changes one bit of a file in place.
void flip_bit(const std::string& path, std::uint64_t byte);

}  // namespace lockstep::test
