// The global batch is a function of the step alone: the same for every split over ranks and
// microbatches, and after a resume.
#include "data/loader.hpp"

#include <map>
#include <set>

#include "core/error.hpp"
#include "core/model/unpad.hpp"
#include "data/corpus.hpp"
#include "tests/data/corpus/fixture.hpp"

namespace lockstep {
namespace {

// One sample as a model sees it.
struct Row {
  std::int64_t id;
  std::vector<std::int32_t> tokens, segments, positions, targets;
  std::int32_t length, label;

  bool operator==(const Row&) const = default;
};

std::vector<std::int32_t> words_of(const Tensor& x) {
  return {x.data<std::int32_t>(), x.data<std::int32_t>() + x.count()};
}

std::vector<Row> rows_of(const Batch& batch) {
  std::vector<Row> rows;
  for (index_t b = 0; b < batch.B; ++b) {
    Row row;
    row.id = batch.sample_ids.data<std::int64_t>()[b];
    const std::int32_t* tokens = batch.tokens.data<std::int32_t>() + b * batch.T;
    row.tokens.assign(tokens, tokens + batch.T);
    if (batch.segments.defined()) {
      const std::int32_t* segments = batch.segments.data<std::int32_t>() + b * batch.T;
      row.segments.assign(segments, segments + batch.T);
    }
    row.length = batch.lengths.defined() ? batch.lengths.data<std::int32_t>()[b]
                                         : static_cast<std::int32_t>(batch.T);
    row.label = batch.labels.defined() ? batch.labels.data<std::int32_t>()[b] : -1;
    rows.push_back(row);
  }
  for (index_t i = 0; i < batch.target_rows.count(); ++i) {
    const index_t at = batch.target_rows.data<std::int32_t>()[i];
    Row& row = rows[static_cast<std::size_t>(at / batch.T)];
    row.positions.push_back(static_cast<std::int32_t>(at % batch.T));
    row.targets.push_back(batch.target_ids.data<std::int32_t>()[i]);
  }
  return rows;
}

class LoaderTest : public Scratch {
 protected:
  void SetUp() override {
    CorpusBuild build = build_of("corpus", {write("a.txt", prose(200, 3))});
    build.documents = DocumentRule::blank_line;
    build.sentences = true;
    build.tokenizer = wordpiece();
    build.shard_bytes = 6000;
    build.validation_fraction = 0.2;
    build_corpus(build, {});
    config_.corpora = {{build.output}};
    config_.sequence_length = 24;
    config_.global_batch_size = 48;
    config_.microbatch_size = 2;
    config_.seed = 9;
  }
  std::vector<Row> step(LoaderConfig config, std::int64_t number) {
    std::vector<Row> rows;
    for (config.dp_rank = 0; config.dp_rank < config.dp_degree; ++config.dp_rank) {
      const StepBatch batch = Loader(config).next(number);
      EXPECT_EQ(static_cast<index_t>(batch.microbatches.size()),
                config.global_batch_size / config.dp_degree / config.microbatch_size);
      for (const Batch& microbatch : batch.microbatches) {
        for (const Row& row : rows_of(microbatch)) rows.push_back(row);
      }
    }
    return rows;
  }
  LoaderConfig validation(Objective objective) const {
    LoaderConfig config = config_;
    config.corpora[0].split = "validation";
    config.objective = objective;
    return config;
  }

  LoaderConfig config_;
};

TEST_F(LoaderTest, GlobalBatchDoesNotDependOnRanksOrMicrobatches) {
  for (Objective objective : {Objective::causal, Objective::mlm, Objective::mlm_nsp}) {
    LoaderConfig config = config_;
    config.objective = objective;
    config.prefetch = 0;
    config.microbatch_size = 48;
    const std::vector<Row> expected = step(config, 3);
    ASSERT_EQ(expected.size(), 48u);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(expected[i].id, 2 * 48 + static_cast<std::int64_t>(i));
    for (int dp : {1, 2, 3, 4, 6, 8}) {
      for (index_t microbatch : {1, 2, 3, 6}) {
        config.dp_degree = dp;
        config.microbatch_size = microbatch;
        if (config.global_batch_size % (dp * microbatch) != 0) continue;

        EXPECT_EQ(step(config, 3), expected) << dp << " " << microbatch;
      }
    }
  }
}

TEST_F(LoaderTest, LeavesPaddingOutWhenAsked) {
  LoaderConfig config = config_;
  config.objective = Objective::mlm_nsp;
  config.prefetch = 0;
  const StepBatch padded = Loader(config).next(2);
  config.unpadded = true;
  config.row_multiple = 2;

  const StepBatch batch = Loader(config).next(2);

  index_t rows = 0;
  ASSERT_EQ(batch.microbatches.size(), padded.microbatches.size());
  for (std::size_t m = 0; m < batch.microbatches.size(); ++m) {
    const Batch expected = unpad(padded.microbatches[m], 2);
    EXPECT_EQ(words_of(batch.microbatches[m].tokens), words_of(expected.tokens));
    EXPECT_EQ(words_of(batch.microbatches[m].target_rows), words_of(expected.target_rows));
    rows += batch.microbatches[m].rows();
  }
  EXPECT_LT(rows, config.global_batch_size * config.sequence_length);
  config.cp_degree = 2;
  EXPECT_THROW(Loader{config}, Error);
}

TEST_F(LoaderTest, ResumesAtEveryStep) {
  Loader whole(config_);
  for (std::int64_t number = 1; number <= 12; ++number) {
    std::vector<Row> expected;
    for (const Batch& batch : whole.next(number).microbatches) {
      for (const Row& row : rows_of(batch)) expected.push_back(row);
    }

    EXPECT_EQ(step(config_, number), expected) << number;
  }
}

TEST_F(LoaderTest, RewindsWhenAsked) {
  Loader loader(config_);
  const std::vector<Row> first = rows_of(loader.next(1).microbatches[0]);
  loader.next(2);

  EXPECT_EQ(rows_of(loader.next(1).microbatches[0]), first);
  EXPECT_GE(loader.wait_seconds(), 0);
}

TEST_F(LoaderTest, CausalTargetsAreTheNextTokensOfTheCorpus) {
  const Corpus corpus(config_.corpora[0].directory, "train");
  std::set<std::vector<std::int32_t>> windows;
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(corpus.shard_tokens(shard)));
    corpus.read(shard, 0, corpus.shard_tokens(shard), ids.data());
    for (std::size_t i = 0; i + 25 <= ids.size(); ++i) {
      const auto at = ids.begin() + static_cast<std::ptrdiff_t>(i);
      windows.insert(std::vector<std::int32_t>(at, at + 25));
    }
  }

  for (const Row& row : step(config_, 2)) {
    std::vector<std::int32_t> window = row.tokens;
    window.push_back(row.targets.back());
    EXPECT_EQ(windows.count(window), 1u);
    EXPECT_EQ(std::vector<std::int32_t>(window.begin() + 1, window.end()), row.targets);
    EXPECT_EQ(row.positions.size(), 24u);
  }
}

TEST_F(LoaderTest, BlendsCorporaOfOneTokenizerOnly) {
  CorpusBuild other = build_of("other", {write("b.txt", prose(100, 4))});
  build_corpus(other, {});
  LoaderConfig config = config_;
  config.corpora.push_back({other.output, 2.0});

  EXPECT_HAS(message_of([&] { Loader loader(config); }, ExitCode::refused), "tokenizer");

  config.corpora[1].directory = config.corpora[0].directory;
  EXPECT_EQ(step(config, 1).size(), 48u);
}

TEST_F(LoaderTest, RefusesWhatCannotBeServed) {
  LoaderConfig config = config_;
  config.sequence_length = 100000;
  EXPECT_HAS(message_of([&] { Loader loader(config); }, ExitCode::refused), "--sequence-length");
  config = config_;
  config.microbatch_size = 7;
  EXPECT_HAS(message_of([&] { Loader loader(config); }, ExitCode::refused), "--microbatch-size 7");
  config = config_;
  config.corpora[0].directory = path("nowhere");
  EXPECT_HAS(message_of([&] { Loader loader(config); }, ExitCode::refused), "nowhere");
  CorpusBuild bytes = build_of("bytes", {write("b.txt", prose(10, 4))});
  build_corpus(bytes, {});
  config = config_;
  config.objective = Objective::mlm_nsp;
  config.corpora[0].directory = bytes.output;
  EXPECT_HAS(message_of([&] { Loader loader(config); }, ExitCode::refused), "--sentences");
  config.corpora[0].split = "validation";
  config.objective = Objective::causal;
  EXPECT_HAS(message_of([&] { ValidationLoader loader(config, 0); }, ExitCode::refused),
             "validation");
}

TEST_F(LoaderTest, VocabularyGrowsByAMaskWhereThereIsNone) {
  CorpusBuild plain = build_of("plain", {write("b.txt", "w1 w2")});
  plain.tokenizer = write("small/vocab.txt", "[PAD]\n[UNK]\nw1\nw2\n");
  build_corpus(plain, {});

  EXPECT_EQ(required_vocab(plain.output, Objective::causal), 4);
  EXPECT_EQ(required_vocab(plain.output, Objective::mlm), 5);
  EXPECT_EQ(required_vocab(config_.corpora[0].directory, Objective::mlm_nsp), 16);
}

TEST_F(LoaderTest, CausalValidationPredictsEveryTokenButTheFirstOfAShardOnce) {
  const LoaderConfig config = validation(Objective::causal);
  const Corpus corpus(config.corpora[0].directory, "validation");
  std::vector<std::int32_t> expected, found;
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(corpus.shard_tokens(shard)));
    corpus.read(shard, 0, corpus.shard_tokens(shard), ids.data());
    expected.insert(expected.end(), ids.begin() + 1, ids.end());
  }
  const ValidationLoader loader(config, 0);

  for (index_t m = 0; m < loader.num_microbatches(); ++m) {
    for (const Row& row : rows_of(loader.microbatch(m))) {
      found.insert(found.end(), row.targets.begin(), row.targets.end());
      EXPECT_EQ(static_cast<std::size_t>(row.length), row.targets.size());
    }
  }

  EXPECT_EQ(found, expected);
}

TEST_F(LoaderTest, ValidationDoesNotDependOnTheLayout) {
  for (Objective objective : {Objective::causal, Objective::mlm, Objective::mlm_nsp}) {
    LoaderConfig config = validation(objective);
    const auto all = [&] {
      std::map<std::int64_t, Row> rows;
      for (config.dp_rank = 0; config.dp_rank < config.dp_degree; ++config.dp_rank) {
        const ValidationLoader loader(config, 0);
        for (index_t m = 0; m < loader.num_microbatches(); ++m) {
          for (const Row& row : rows_of(loader.microbatch(m)))
            EXPECT_TRUE(rows.emplace(row.id, row).second);
        }
        EXPECT_EQ(loader.microbatch(loader.num_microbatches()).B, 0);
      }
      return rows;
    };
    const std::map<std::int64_t, Row> expected = all();
    config.seed = 77;  // of training: no part in validation
    for (int dp : {2, 3, 8}) {
      for (index_t microbatch : {1, 5}) {
        config.dp_degree = dp;
        config.microbatch_size = microbatch;
        EXPECT_EQ(all(), expected) << dp << " " << microbatch;
      }
    }
    EXPECT_EQ(ValidationLoader(config, 5).num_samples(), 5);
  }
}

// Of the tokens, [CLS] w [SEP] windows of masked validation hold every one once; masks put back.
TEST_F(LoaderTest, MaskedValidationShowsEveryTokenOnce) {
  const LoaderConfig config = validation(Objective::mlm);
  const Corpus corpus(config.corpora[0].directory, "validation");
  const ValidationLoader loader(config, 0);
  std::uint64_t tokens = 0;

  for (index_t m = 0; m < loader.num_microbatches(); ++m) {
    for (const Row& row : rows_of(loader.microbatch(m)))
      tokens += static_cast<std::uint64_t>(row.length) - 2;
  }

  EXPECT_EQ(tokens, corpus.num_tokens());
}

// Every sentence once in an A or a following B: those texts together are the split, in order.
TEST_F(LoaderTest, PairValidationWalksTheSentencesInOrder) {
  LoaderConfig config = validation(Objective::mlm_nsp);
  config.sequence_length =
      160;  // above the longest document: nothing is truncated before random text
  const Corpus corpus(config.corpora[0].directory, "validation");
  std::vector<std::int32_t> expected, found;
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(corpus.shard_tokens(shard)));
    corpus.read(shard, 0, corpus.shard_tokens(shard), ids.data());
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  const ValidationLoader loader(config, 0);

  std::size_t random = 0;
  for (index_t m = 0; m < loader.num_microbatches(); ++m) {
    for (Row row : rows_of(loader.microbatch(m))) {
      for (std::size_t i = 0; i < row.positions.size(); ++i) {
        row.tokens[static_cast<std::size_t>(row.positions[i])] = row.targets[i];
      }
      random += row.label == 1 ? 1 : 0;
      for (std::size_t i = 1; i + 1 < static_cast<std::size_t>(row.length); ++i) {
        const bool of_b = row.segments[i] == 1;
        if (row.tokens[i] != 3 && (!of_b || row.label == 0)) found.push_back(row.tokens[i]);
      }
    }
  }

  EXPECT_EQ(found, expected);
  EXPECT_GT(random, 0u);
}

}  // namespace
}  // namespace lockstep
