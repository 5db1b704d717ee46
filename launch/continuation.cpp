#include "launch/continuation.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/loader.hpp"
#include "launch/failure.hpp"

namespace lockstep {

Continuation::Continuation(const Environment& environment,
                           const RunOptions& options,
                           const RunSetup& setup,
                           const RunDirectory& directory,
                           Trainer& trainer)
    : environment_(environment),
      options_(options),
      setup_(setup),
      directory_(directory),
      trainer_(trainer),
      settings_(fixed_settings(options, setup.model)) {}

CheckpointMeta Continuation::meta(const Place& place) const {
  CheckpointMeta meta;
  meta.step = place.step;
  meta.consumed_samples = ramp_of(setup_.data).before(place.step + place.skipped + 1);
  meta.incarnation = directory_.incarnation_number();
  meta.seed = options_.seed;
  meta.corpus_fingerprint = setup_.fingerprint;
  meta.options = settings_;
  const Degrees& d = setup_.degrees;
  meta.layout = {{"dp", std::to_string(d.dp)},
                 {"pp", std::to_string(d.pp)},
                 {"cp", std::to_string(d.cp)},
                 {"tp", std::to_string(d.tp)},
                 {"zero", options_.layout.zero ? "1" : "0"},
                 {"corpus", std::filesystem::absolute(options_.corpora.front().first).string()}};
  return meta;
}

// False, with a warning, when the checkpoint is damaged; a mismatch of settings is the user's to
// solve and is thrown.
bool Continuation::load(const std::string& step_directory, Place& place) {
  try {
    CheckpointMeta found;
    environment_.agree([&] { found = read_meta(step_directory); });
    environment_.agree([&] {
      require(found.corpus_fingerprint == setup_.fingerprint, "the corpus's fingerprint ",
              setup_.fingerprint, " is not that of ", step_directory, ", ",
              found.corpus_fingerprint,
              ": train on the same corpus and tokenizer, or start a new --output");
      check_resumed(settings_, found.options, step_directory);
    });
    trainer_.load(step_directory, false);
    place = {found.step, 0};
    const BatchRamp ramp = ramp_of(setup_.data);
    while (ramp.before(place.step + place.skipped + 1) < found.consumed_samples) ++place.skipped;
    return true;
  } catch (const AgreedError& error) {
    if (error.code() == ExitCode::refused) throw;
    if (error.speaker()) print_warning(build_string(error.what(), "; trying an older one"));
    return false;
  }
}

// The list is made anew after each failure: an older start that still lived may have saved, or
// removed what it kept too much of, meanwhile.
std::optional<Place> Continuation::go_on() {
  Place place;
  std::set<std::string> tried;
  for (;;) {
    const ResumeChoice choice = directory_.choose(environment_, options_.resume);
    const auto next = std::find_if(choice.candidates.begin(), choice.candidates.end(),
                                   [&](const std::string& path) { return tried.count(path) == 0; });
    if (next == choice.candidates.end()) break;
    tried.insert(*next);
    if (load(*next, place)) return place;
  }
  environment_.agree([&] {
    if (!tried.empty()) {
      fail("no checkpoint of ", *tried.rbegin(),
           " and older ones is whole; restore one, or start a new --output");
    }
  });
  trainer_.initialize();
  return std::nullopt;
}

}  // namespace lockstep
