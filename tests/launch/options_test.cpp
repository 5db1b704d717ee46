#include "launch/options.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

using Words = std::vector<std::string>;

const Words base = {"--corpus", "wiki", "--output", "run"};

Words with(Words more) {
  Words words = base;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// The one line with which `read` refuses; "accepted" when it does not.
template <typename F>
std::string refusal(const F& read, ExitCode code = ExitCode::refused) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "accepted";
}

std::string refused_run(Words more) {
  return refusal([&] { read_run_options(with(std::move(more))); });
}

void expect_words(const std::string& line, const Words& words) {
  for (const std::string& word : words) {
    EXPECT_NE(line.find(word), std::string::npos) << "no '" << word << "' in: " << line;
  }
}

class Folder {
 public:
  Folder() {
    path_ = std::filesystem::temp_directory_path() / build_string("options_test-", getpid());
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

TEST(Options, ReadsEachKindOfValue) {
  const RunOptions run = read_run_options(with({"--layers",
                                                "3",
                                                "--dropout=0.25",
                                                "--bias",
                                                "no",
                                                "--tensor-parallel",
                                                "2",
                                                "--pp",
                                                "2",
                                                "--schedule",
                                                "gpipe",
                                                "--zero",
                                                "1",
                                                "--hash-weights",
                                                "--learning-rate",
                                                "1e-3",
                                                "--steps",
                                                "20",
                                                "--exit-at-step",
                                                "10",
                                                "--precision",
                                                "fp64",
                                                "--norm",
                                                "post"}));

  EXPECT_EQ(run.model.layers, 3);
  EXPECT_EQ(run.model.heads, std::nullopt);
  EXPECT_EQ(run.model.dropout, 0.25);
  EXPECT_EQ(run.model.bias, false);
  EXPECT_EQ(run.model.norm, NormPlace::post);
  EXPECT_EQ(run.layout.tp, 2);
  EXPECT_EQ(run.layout.pp, 2);
  EXPECT_EQ(run.layout.dp, 0);
  EXPECT_EQ(run.layout.schedule, "gpipe");
  EXPECT_TRUE(run.layout.zero);
  EXPECT_TRUE(run.hash_weights);
  EXPECT_EQ(run.learning_rate, 1e-3);
  EXPECT_EQ(run.steps, 20);
  EXPECT_EQ(run.decay_steps, 20);
  EXPECT_EQ(run.exit_at_step, 10);
  EXPECT_EQ(run.numerics.precision, DType::f64);
  EXPECT_EQ(run.validation_sequences, 0);
}

TEST(Options, BlendsRepeatedCorpora) {
  const RunOptions run = read_run_options(
      {"--corpus", "a:0.25", "--corpus", "b:3", "--corpus", "c:d", "--output", "run"});

  ASSERT_EQ(run.corpora.size(), 3u);
  EXPECT_EQ(run.corpora[0], (std::pair<std::string, double>("a", 0.25)));
  EXPECT_EQ(run.corpora[1], (std::pair<std::string, double>("b", 3.0)));
  EXPECT_EQ(run.corpora[2], (std::pair<std::string, double>("c:d", 1.0)));
  expect_words(refusal([] {
                 read_run_options({"--corpus", "a:0", "--output", "run"});
               }),
               {"--corpus", "a:0", "above 0"});
}

TEST(Options, RefusesValuesNamingOptionValueAndRange) {
  expect_words(refused_run({"--steps", "-1"}), {"--steps", "-1", "whole number"});
  expect_words(refused_run({"--steps", "10x"}), {"--steps", "10x"});
  expect_words(refused_run({"--steps", "1.5"}), {"--steps", "1.5"});
  expect_words(refused_run({"--steps="}), {"--steps", "--help"});
  expect_words(refused_run({"--steps", "99999999999999999999"}), {"--steps"});
  expect_words(refused_run({"--dropout", "1.5"}), {"--dropout", "1.5", "0 to 0.999"});
  expect_words(refused_run({"--learning-rate", "nan"}), {"--learning-rate", "nan", "finite"});
  expect_words(refused_run({"--learning-rate", "inf"}), {"--learning-rate", "inf", "finite"});
  expect_words(refused_run({"--tensor-parallel", "two"}), {"--tensor-parallel", "two"});
  expect_words(refused_run({"--precision", "fp12"}), {"--precision", "fp12", "fp32"});
  expect_words(refused_run({"--epsilon", "0"}), {"--epsilon", "0", "above 0"});
  expect_words(refused_run({"--microbatch-size", "7", "--global-batch-size", "8"}),
               {"--microbatch-size 7", "--global-batch-size 8"});
  expect_words(refused_run({"--output=a#b"}), {"--output", "twice"});
  expect_words(refusal([] {
                 read_run_options({"--corpus", "x", "--output", "a#b"});
               }),
               {"--output", "a#b", "config.ini"});
}

TEST(Options, RefusesUnknownRepeatedMissingAndStrayOnes) {
  expect_words(refused_run({"--lerning-rate", "1"}), {"--lerning-rate", "--learning-rate"});
  expect_words(refused_run({"-s", "1"}), {"-s"});
  expect_words(refused_run({"--steps", "1", "--steps", "2"}), {"--steps", "twice"});
  expect_words(refused_run({"--tp", "1", "--tensor-parallel", "1"}),
               {"--tensor-parallel", "twice"});
  expect_words(refused_run({"--steps"}), {"--steps"});
  expect_words(refused_run({"stray"}), {"stray"});
  expect_words(refusal([] { read_run_options({"--output", "run"}); }), {"--corpus", "missing"});
  // Prefixes are not names: a new option would change their meaning.
  expect_words(refused_run({"--learning", "1"}), {"--learning ", "--learning-rate"});
}

TEST(Options, RefusesWhatIsNotThereYet) {
  const std::vector<Words> all = {{"--tensorboard"}};

  for (const Words& words : all) {
    expect_words(refused_run(words), {words[words.size() > 2 ? 2 : 0], "not there yet"});
  }
  EXPECT_EQ(refused_run({"--cp", "1", "--save", "sync", "--watchdog-seconds", "0.0"}), "accepted");
  EXPECT_EQ(refused_run({"--precision", "bf16"}), "accepted");  // the CPU is asked later
}

TEST(Options, ReplicasAreComparedOnlyWhereTheirBitsMustBeEqual) {
  expect_words(refused_run({"--verify-every", "10"}), {"--verify-every 10", "--reproducible"});
  EXPECT_EQ(refused_run({"--verify-every", "10", "--reproducible"}), "accepted");
  EXPECT_EQ(refused_run({"--verify-every", "0"}), "accepted");
}

TEST(Options, RefusesThoseWithoutEffect) {
  expect_words(refused_run({"--schedule", "gpipe"}), {"--schedule", "no effect"});
  expect_words(refused_run({"--decay", "constant", "--decay-steps", "5"}),
               {"--decay-steps", "constant"});
  expect_words(refused_run({"--decay", "constant", "--min-learning-rate", "0"}),
               {"--min-learning-rate"});
  expect_words(refused_run({"--validation-sequences", "8"}),
               {"--validation-sequences", "--validate-every"});
  expect_words(refused_run({"--validation-corpus", "v"}),
               {"--validation-corpus", "--validate-every"});
  expect_words(refused_run({"--steps", "5", "--exit-at-step", "6"}), {"--exit-at-step", "6", "5"});
  const auto generate = [](Words more) {
    Words words = {"--checkpoint", "c", "--prompt", "The"};
    words.insert(words.end(), more.begin(), more.end());
    return refusal([&] { read_generate_options(words); });
  };
  expect_words(generate({"--temperature", "0", "--top-k", "5"}), {"--top-k", "--temperature 0"});
  EXPECT_EQ(generate({"--temperature", "1", "--top-k", "5", "--seed", "2"}), "accepted");
}

TEST(Options, RefusesThoseWithoutEffectOnceRanksAndModelAreKnown) {
  const auto check = [](Words more, RunFacts facts) {
    const RunOptions run = read_run_options(with(std::move(more)));
    return refusal([&] { check_effects(run, facts); });
  };
  RunFacts causal;
  RunFacts masked;
  masked.model.objective = Objective::mlm;
  RunFacts two;
  two.degrees.dp = 2;

  expect_words(check({"--zero", "1"}, causal), {"--zero", "dp 1"});
  EXPECT_EQ(check({"--zero", "1"}, two), "accepted");
  expect_words(check({"--mask-probability", "0.15"}, causal), {"--mask-probability", "causal"});
  EXPECT_EQ(check({"--mask-probability", "0.15"}, masked), "accepted");
  expect_words(check({"--validate-every", "5"}, causal), {"--validate-every", "validation split"});
  expect_words(check({"--global-batch-size", "6", "--microbatch-size", "2"}, two),
               {"--global-batch-size 6", "--microbatch-size 2", "dp 2"});
}

TEST(Options, ThoseOfAGpuAreRefusedWhereTheyHaveNoEffect) {
  const Device cpu, gpu{Device::Kind::cuda, 0};
  ModelConfig model;
  model.activation = Activation::gelu_tanh;
  const auto check = [&](GpuOptions options, Device device, DType precision = DType::f32,
                         int ranks = 1) {
    return refusal([&] { check_gpu_options(options, model, precision, ranks, device); });
  };
  const GpuOptions graph{.cuda_graph = true}, gelu{.gelu_epilogue = true}, tf32{.tf32 = true};

  EXPECT_EQ(check({}, cpu), "accepted");
  for (const GpuOptions& options : {graph, gelu, tf32}) EXPECT_EQ(check(options, gpu), "accepted");
  expect_words(check(graph, cpu), {"--cuda-graph", "GPU", "leave it out"});
  expect_words(check(gelu, cpu), {"--gelu-epilogue", "GPU", "leave it out"});
  expect_words(check(tf32, cpu), {"--tf32", "GPU", "leave it out"});
  expect_words(check(graph, gpu, DType::f32, 2), {"--cuda-graph", "this one has 2"});
  expect_words(check(tf32, gpu, DType::bf16), {"--tf32", "--precision fp32", "has bf16"});
  model.activation = Activation::gelu;
  expect_words(check(gelu, gpu), {"--gelu-epilogue", "--activation gelu-tanh", "model has gelu;"});
}

TEST(Options, LayoutsThatDoNotFitNameOptionValueAndCure) {
  const auto check = [](Words more, Degrees degrees, index_t T) {
    more.insert(more.end(), {"--global-batch-size", "8", "--microbatch-size", "2"});
    const RunOptions run = read_run_options(with(std::move(more)));
    RunFacts facts;
    facts.degrees = degrees;
    facts.sequence_length = T;
    return refusal([&] { check_effects(run, facts); });
  };

  expect_words(check({"--cp", "2"}, {.cp = 2}, 30), {"--sequence-length 30", "2 x --cp 2"});
  expect_words(check({"--tp", "4", "--sequence-parallel"}, {.tp = 4}, 30),
               {"--sequence-length 30", "--tp 4", "--sequence-parallel"});
  expect_words(check({"--pp", "3", "--schedule", "interleaved"}, {.pp = 3}, 32),
               {"--schedule interleaved", "divisible by the 3", "not 4"});
  expect_words(check({"--pp", "8", "--schedule", "interleaved"}, {.pp = 8}, 32), {"divisible"});
  expect_words(check({"--pp", "4", "--schedule", "zb-v"}, {.pp = 4}, 32), {"zb-v", "at least 8"});
  expect_words(check({"--batch-ramp", "4:3"}, {.dp = 4}, 32), {"--batch-ramp", "4", "dp 4"});
  EXPECT_EQ(check({"--batch-ramp", "4:3"}, {.dp = 2}, 32), "accepted");
}

TEST(Options, RefusesABadBatchRamp) {
  for (const char* text : {"8", "8:", ":3", "0:3", "8:0", "x:3"})
    expect_words(refused_run({"--batch-ramp", text}), {"--batch-ramp", text, "START:STEPS"});
  expect_words(refused_run({"--global-batch-size", "8", "--batch-ramp", "3:5"}),
               {"--batch-ramp", "3", "--global-batch-size 8"});
}

TEST(Options, AFileGivesDefaultsThatTheCommandLineOverrides) {
  const Folder folder;
  const std::string file = folder.write(
      "run.ini", "# a comment\nsteps = 7\nhash-weights = true\nlayers = 2\nschedule = 1f1b\n");

  const RunOptions run = read_run_options(with({"--config", file, "--layers", "5"}));

  EXPECT_EQ(run.steps, 7);
  EXPECT_EQ(run.model.layers, 5);
  EXPECT_TRUE(run.hash_weights);
}

TEST(Options, AFileIsHeldToTheSameRules) {
  const Folder folder;
  const auto read = [&](const std::string& text) {
    const std::string file = folder.write("bad.ini", text);
    return refused_run({"--config", file});
  };

  expect_words(read("stepps = 3\n"), {"stepps", "bad.ini", "did you mean steps?"});
  expect_words(read("steps = three\n"), {"steps", "bad.ini", "three"});
  expect_words(read("steps = 3\nsteps = 4\n"), {"steps", "bad.ini", "twice"});
  expect_words(read("no equals sign\n"), {"bad.ini"});
  expect_words(read("tensorboard = true\n"), {"tensorboard", "bad.ini", "not there yet"});
  expect_words(read("schedule = gpipe\n"), {"schedule", "bad.ini", "no effect"});
  expect_words(refused_run({"--config", "no/such.ini"}), {"--config", "no/such.ini"});
}

TEST(Options, TheResolvedFileRepeatsTheRun) {
  const Folder folder;
  const RunOptions first = read_run_options(
      with({"--steps", "20", "--learning-rate", "1e-3", "--hash-weights", "--corpus", "more:0.5"}));
  const std::string file = folder.write("config.ini", first.values.ini());

  const RunOptions again = read_run_options({"--config", file});

  EXPECT_EQ(again.values.ini(), first.values.ini());
  EXPECT_EQ(again.corpora, first.corpora);
  EXPECT_EQ(again.learning_rate, first.learning_rate);
}

TEST(Options, AWrongNumberOfRanksOutweighsOtherMistakes) {
  const auto check = [](Words words, int ranks) {
    return refusal([&] { check_ranks(words, ranks); }, ExitCode::wrong_ranks);
  };

  expect_words(check({"--nonsense", "--tp", "4", "--pp=2"}, 4), {"4", "8"});
  EXPECT_EQ(check({"--tp", "two"}, 4), "accepted");
  EXPECT_EQ(check({"--tensor-parallel", "2"}, 4), "accepted");
  setenv("LOCKSTEP_RANKS", "3", 1);
  expect_words(check({}, 2), {"LOCKSTEP_RANKS", "3", "2"});
  unsetenv("LOCKSTEP_RANKS");
}

TEST(Options, ResumeNamesBothValues) {
  expect_words(refusal([] {
                 check_resumed({{"learning-rate", "0.0005"}}, {{"learning-rate", "0.001"}},
                               "run/step-000000005");
               }),
               {"--learning-rate", "0.0005", "0.001", "step-000000005"});
  EXPECT_EQ(refusal([] {
              check_resumed({{"seed", "1"}, {"new", "2"}}, {{"seed", "1"}}, "x");
            }),
            "accepted");
}

// The files under tests/launch/golden are what `lockstep help ...` prints.
std::string golden(const std::string& name) {
  const char* root = std::getenv("LOCKSTEP_SOURCE_DIR");
  std::ifstream stream(build_string(root ? root : ".", "/", name));
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Help, IsWhatItWas) {
  EXPECT_EQ(help_text(Command::pretrain), golden("tests/launch/golden/pretrain_help.txt"));
  EXPECT_EQ(overview_text(), golden("tests/launch/golden/overview.txt"));
}

TEST(Help, TheReferencePageIsMadeFromTheTable) {
  EXPECT_EQ(markdown_reference(), golden("docs/cli.md"));
}

TEST(Table, EachCommandKnowsItsOptionsOnce) {
  for (const CommandRow& command : command_table()) {
    Words names;
    for (const OptionRow* row : options_of(command.command)) {
      names.push_back(row->name);
      if (*row->alias) names.push_back(row->alias);
    }
    const Words all = names;
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end()) << command.name;
  }
}

}  // namespace
}  // namespace lockstep
