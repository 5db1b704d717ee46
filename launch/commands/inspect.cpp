// Commands that only look: `checkpoint info`, `checkpoint verify`, `schedule show`, `models`,
// `version`, `trace merge`.
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

#include <dnnl.h>
#include <hdf5.h>

#include "core/error.hpp"
#include "core/gpu.hpp"
#include "core/model/parameter_table.hpp"
#include "core/model/presets.hpp"
#include "core/ops/cpu_features.hpp"
#include "launch/commands/commands.hpp"
#include "launch/trace.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/schedule_file.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "parallel/pipeline/show.hpp"

namespace lockstep {
namespace {

ActionTimes read_times(const OptionValues& values) {
  const std::string& text = values.text("times");
  std::istringstream stream(text);
  std::string word;
  std::vector<double> times;
  while (std::getline(stream, word, ',')) {
    const auto time = parse_real(word);
    if (!time || *time < 0 || *time > 1e9) break;
    times.push_back(*time);
  }
  const bool three = times.size() == 3 && stream.eof() && text.back() != ',';
  require(three && times[0] + times[1] + times[2] > 0, values.typed("times"), " is ", text,
          "; it must be three numbers from 0 to 1e9, F,B,W, not all 0");
  return {times[0], times[1], times[2]};
}

// The compiler that made this file.
std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

// By name, or a file that says its sizes itself.
Schedule schedule_shown(const OptionValues& values) {
  if (const auto path = values.text_if("schedule-file")) {
    for (const char* name : {"schedule", "stages", "microbatches", "virtual-stages"}) {
      require(!values.given(name), "--", name, " has no effect with --schedule-file");
    }
    return read_schedule(*path);
  }
  for (const char* name : {"stages", "microbatches"}) {
    require(values.given(name), "--", name, " is missing: `lockstep schedule show` needs --", name,
            " or --schedule-file");
  }
  // Not given: as many as the schedule needs.
  const int virtual_stages =
      values.given("virtual-stages") ? static_cast<int>(values.integer("virtual-stages")) : 0;
  return make_schedule(values.text("schedule"), static_cast<int>(values.integer("stages")),
                       static_cast<int>(values.integer("microbatches")), virtual_stages);
}

void write_picture(const std::string& path, const std::string& svg) {
  std::ofstream file(path, std::ios::trunc);
  file << svg;
  file.close();
  if (!file) fail("cannot write ", path);
}

}  // namespace

int run_checkpoint_info(const OptionValues& values) {
  const std::string directory = resolve_checkpoint(values.positional().front(), std::nullopt);
  const std::string text = describe_checkpoint(directory, values.flag("json"));
  std::cout << text << (text.empty() || text.back() != '\n' ? "\n" : "");
  return 0;
}

int run_checkpoint_verify(const OptionValues& values) {
  const std::string directory = resolve_checkpoint(values.positional().front(), std::nullopt);
  verify_checkpoint(directory);
  std::cout << directory << ": whole\n";
  return 0;
}

int run_schedule_show(const OptionValues& values) {
  const ActionTimes times = read_times(values);
  const Schedule schedule = schedule_shown(values);
  if (const auto path = values.text_if("svg"))
    write_picture(*path, draw_svg(bars_of(schedule, times), schedule.name));
  std::cout << (values.flag("json") ? show_json(schedule, times) : show_text(schedule, times));
  return 0;
}

int run_trace_merge(const OptionValues& values) {
  const std::string run = values.positional().front();
  require(!values.given("step") || values.text_if("svg"), "--step has no effect without --svg");
  std::cout << merge_traces(run) << '\n';
  if (const auto path = values.text_if("svg"))
    write_picture(*path, draw_trace(run, values.integer_if("step").value_or(0)));
  return 0;
}

int run_models() {
  const auto line = [](const std::string& name, const auto&... cells) {
    std::cout << std::left << std::setw(14) << name << std::right;
    ((std::cout << std::setw(13) << cells), ...);
    std::cout << '\n';
  };
  line("name", "layers", "heads", "width", "ffn width", "positions", "vocabulary", "parameters");
  for (const Preset& preset : presets()) {
    ModelConfig model = preset.config;
    model.resolve(1, 1);
    line(preset.name, model.layers, model.heads, model.width, model.ffn_width, model.max_positions,
         model.vocab_size, ParameterTable(model).count());
  }
  return 0;
}

int run_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  const dnnl_version_t* dnnl = dnnl_version();
  std::cout << "lockstep " << LOCKSTEP_VERSION << "\n"
            << "source revision: " << LOCKSTEP_REVISION << "\n"
            << "compiler: " << compiler() << "\n"
            << "MPI: " << mpi_library_version() << "\n"
            << "HDF5: " << major << "." << minor << "." << release << "\n"
            << "oneDNN: " << dnnl->major << "." << dnnl->minor << "." << dnnl->patch << "\n"
            << "CUDA: " << LOCKSTEP_CUDA_BUILT << "\n";
  for (const std::string& library : gpu_libraries()) std::cout << library << "\n";
  std::cout << "CPU features in use: " << cpu_features_in_use() << "\n";
  return 0;
}

}  // namespace lockstep
