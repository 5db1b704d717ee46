// Checkpoints in global coordinates: step-NNNNNNNNN/{manifest.json, rank-NNNNN.h5}, complete or
// absent.
//
// Each rank writes one HDF5 file (serial driver) with the tiles it is the only writer of: the
// rectangles (core/model/ parameter_table.hpp) of the canonical parameters that its part of the
// flat buffer covers, each as weight, m and v. The parts are span_of(count, dp_rank, dp) whether
// ZeRO-1 is on or not, so that no two ranks write the same element: replicated parameters are
// written by tp rank 0, tied ones by the first stage that uses them. Padding rows are not written.
//
// Commit protocol: temporary directory; every writing rank writes, closes and fsyncs; all agree;
// rank 0 writes and fsyncs the manifest (tile table with CRC-32C per tile, size and CRC of each
// file, its own CRC last) and the directory, renames it, fsyncs the parent. Only then is it a
// checkpoint. Pruning renames to .trash-* first.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// What a run needs to go on, besides the tensors. options: the settings that must not change, by
// option name, as printed.
struct CheckpointMeta {
  std::int64_t step = 0;
  std::int64_t consumed_samples = 0;
  std::int64_t incarnation = 0;  // which start of the run wrote it
  std::uint64_t seed = 0;
  std::string corpus_fingerprint;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> layout;  // for people: dp, tp, pp, ranks, precision
};

// The optimizer's part: m and v over own_span of the flat buffer.
struct OptimizerState {
  Span own_span;
  Tensor m, v;  // (own_span.count)
};

struct SaveResult {
  std::int64_t step = 0;
  std::uint64_t bytes = 0;
  // From the copy to the commit, on world rank 0; without the time that a part of it was done and
  // training, in the middle of a step, had not looked.
  double seconds = 0;
  double blocked_seconds = 0;  // what training waited for
  double copy_seconds = 0;     // of these, for the copy; 0 without a background
  std::string path;
  std::string warning;  // of the pruning; "": none. On world rank 0.
};

// Collective over the world. Throws Error (failed) on all ranks alike (AgreedError) when any rank
// failed; then the temporary directory is gone and older checkpoints are untouched. checkpoints:
// the directory DIR/checkpoints.
SaveResult save_checkpoint(const Environment& environment,
                           const Topology& topology,
                           const std::string& checkpoints,
                           const CheckpointMeta& meta,
                           const ParameterStore& store,
                           const OptimizerState& optimizer);

// Removes all but the newest `keep` complete checkpoints and those of every keep_every-th step. One
// rank calls it.
void prune_checkpoints(const std::string& checkpoints, int keep, std::int64_t keep_every = 0);
// Removes .tmp-* and .trash-* of killed runs: those of starts up to `incarnation`. A directory is
// renamed before it is emptied, so that a run that still lives cannot commit half of it. A
// checkpoint that was set aside for another of its step, which then did not come, is put back. One
// rank calls it.
void clean_leftovers(const std::string& checkpoints, std::int64_t incarnation);
// The incarnation in a temporary name ("...i7-<word>"); -1 where there is none.
std::int64_t incarnation_in(const std::string& name);

// step-* directories, newest first, with or without a manifest.
std::vector<std::string> list_checkpoints(const std::string& checkpoints);
// PATH: a run directory (its newest, or --step's, checkpoint) or a step directory. Throws Error
// naming PATH.
std::string resolve_checkpoint(const std::string& path, std::optional<std::int64_t> step);

// Reads and checks the manifest (its own CRC, version, sizes of the files). Throws Error (failed)
// naming directory and file.
CheckpointMeta read_meta(const std::string& step_directory);

// Collective. Fills store and (when given) optimizer from the tiles that overlap them, each checked
// against its CRC; without optimizer a rank reads only what it needs, with it (a run that goes on)
// the files are also checked whole, each by one rank. Throws AgreedError (failed) naming file,
// tensor and tile when anything is damaged or missing; what was filled is then void.
void load_checkpoint(const Environment& environment,
                     const Topology& topology,
                     const std::string& step_directory,
                     ParameterStore& store,
                     OptimizerState* optimizer);

// `checkpoint verify`: manifest, sizes, whole-file CRCs, every tile. Throws Error (failed) naming
// file and tensor.
void verify_checkpoint(const std::string& step_directory);
// `checkpoint info --json`: step, consumed_samples, seed, corpus_fingerprint, options, layout,
// parameters, bytes, files.
std::string describe_checkpoint(const std::string& step_directory, bool json);

// SHA-256 over all parameters by name (docs/cli.md). Collective; the hex digest on world rank 0,
// empty elsewhere.
std::string weights_sha256(const Topology& topology,
                           const ParameterTable& table,
                           const StageMap& stages,
                           const ParameterStore& store);

}  // namespace lockstep
