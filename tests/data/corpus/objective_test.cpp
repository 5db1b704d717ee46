// Proportions of masks and pairs, with fixed seeds and chi-square bounds at about one in a
// thousand; structure exactly.
#include <algorithm>
#include <memory>
#include <set>

#include "core/random.hpp"
#include "data/corpus.hpp"
#include "data/objective/mlm.hpp"
#include "data/objective/nsp.hpp"
#include "tests/data/corpus/fixture.hpp"

namespace lockstep {
namespace {

constexpr std::int32_t cls = 2, sep = 3, mask = 4;

Example blank(std::int64_t sample, std::size_t length) {
  Example example;
  example.sample = sample;
  for (std::size_t i = 0; i < length; ++i)
    example.tokens.push_back(1000 + static_cast<std::int32_t>(i));
  return example;
}

std::vector<std::int32_t> positions_to(std::int32_t length) {
  std::vector<std::int32_t> positions;
  for (std::int32_t i = 0; i < length; ++i) positions.push_back(i);
  return positions;
}

double chi_square(const std::vector<double>& counts, const std::vector<double>& shares) {
  double sum = 0, chi = 0;
  for (double count : counts) sum += count;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    chi += (counts[i] - sum * shares[i]) * (counts[i] - sum * shares[i]) / (sum * shares[i]);
  }
  return chi;
}

TEST(Masks, CountIsRoundedHalfToEvenAndAtLeastOne) {
  const std::vector<std::pair<int, std::size_t>> expected = {{1, 1},  {3, 1},  {10, 2},  {20, 3},
                                                             {30, 4}, {50, 8}, {128, 19}};
  for (const auto& [length, count] : expected) {
    Example example = blank(7, static_cast<std::size_t>(length));

    mask_tokens(example, positions_to(length), {0.15, 1, 5, 0, 1000});

    EXPECT_EQ(example.positions.size(), count) << length;
    EXPECT_EQ(example.targets.size(), count);
    EXPECT_EQ(std::set<std::int32_t>(example.positions.begin(), example.positions.end()).size(),
              count);
    EXPECT_TRUE(std::is_sorted(example.positions.begin(), example.positions.end()));
  }
}

TEST(Masks, EightyTenTenAtUniformPositions) {
  constexpr std::int32_t length = 40, samples = 4000;
  std::vector<double> kinds(3, 0), places(length, 0), ids(8, 0);
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    Example example = blank(sample, length);

    mask_tokens(example, positions_to(length), {0.15, 11, 999, 100, 108});

    for (std::size_t i = 0; i < example.positions.size(); ++i) {
      const std::int32_t at = example.positions[i],
                         token = example.tokens[static_cast<std::size_t>(at)];
      EXPECT_EQ(example.targets[i], 1000 + at);
      ++places[static_cast<std::size_t>(at)];
      ++kinds[token == 999 ? 0 : token == 1000 + at ? 1 : 2];
      if (token >= 100 && token < 108) ++ids[static_cast<std::size_t>(token - 100)];
    }
  }

  EXPECT_EQ(kinds[0] + kinds[1] + kinds[2], 6.0 * samples);
  EXPECT_LT(chi_square(kinds, {0.8, 0.1, 0.1}), 14);
  EXPECT_LT(chi_square(places, std::vector<double>(length, 1.0 / length)), 74);
  EXPECT_EQ(ids[0] + ids[1] + ids[2] + ids[3] + ids[4] + ids[5] + ids[6] + ids[7], kinds[2]);
  EXPECT_LT(chi_square(ids, std::vector<double>(8, 1.0 / 8)), 25);
}

class NspTest : public Scratch {
 protected:
  static constexpr index_t T = 32;

  void open(const std::string& text, const std::string& name = "corpus") {
    CorpusBuild build = build_of(name, {write(name + ".txt", text)});
    build.documents = DocumentRule::blank_line;
    build.sentences = true;
    build.tokenizer = wordpiece();
    build_corpus(build, {});
    corpus_ = std::make_unique<Corpus>(build.output, "train");
    rule_ = mask_rule(corpus_->info(), 0.15, 5);
  }
  static void put_back(Example& example) {
    for (std::size_t i = 0; i < example.positions.size(); ++i) {
      example.tokens[static_cast<std::size_t>(example.positions[i])] = example.targets[i];
    }
  }

  std::unique_ptr<Corpus> corpus_;
  MaskRule rule_;
};

TEST_F(NspTest, SamplesAreWellFormedPairs) {
  open(prose(150, 5, 20));
  const NspObjective nsp(*corpus_, {T, 5, true});
  const index_t tokens = corpus_->shard_tokens(0);
  std::vector<double> labels(2, 0);
  double full = 0;
  for (std::int64_t sample = 0; sample < 4000; ++sample) {
    const auto token = static_cast<index_t>(mix(static_cast<std::uint64_t>(sample)) %
                                            static_cast<std::uint64_t>(tokens));

    Example example = nsp.example_from(0, token, sample, rule_);

    put_back(example);
    const std::vector<std::int32_t>& ids = example.tokens;
    ASSERT_LE(ids.size(), static_cast<std::size_t>(T));
    ASSERT_EQ(example.segments.size(), ids.size());
    EXPECT_EQ(ids.front(), cls);
    EXPECT_EQ(ids.back(), sep);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), sep), 2);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), mask), 0);
    const auto first_sep =
        static_cast<std::size_t>(std::find(ids.begin(), ids.end(), sep) - ids.begin());
    for (std::size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(example.segments[i], i <= first_sep ? 0 : 1);
    EXPECT_GT(first_sep, 1u);
    EXPECT_LT(first_sep + 2, ids.size());
    for (std::int32_t at : example.positions) EXPECT_NE(ids[static_cast<std::size_t>(at)], sep);
    ++labels[static_cast<std::size_t>(example.label)];
    full += static_cast<double>(ids.size()) / static_cast<double>(T);
  }

  // One-sentence pairs always get random text, hence a little above one half.
  EXPECT_GT(labels[1] / 4000, 0.47);
  EXPECT_LT(labels[1] / 4000, 0.65);
  EXPECT_GT(full / 4000, 0.7);
}

TEST_F(NspTest, TheCoinIsFairWhereThereIsAChoice) {
  open(prose(60, 6, 40));
  const NspObjective nsp(*corpus_, {T, 8, true});
  std::vector<double> labels(2, 0);
  index_t document = 0;
  while (corpus_->num_sentences(0, document) < 12) ++document;

  for (std::uint64_t sample = 0; sample < 5000; ++sample) {
    const NspPair pair = nsp.pair(0, document, 0, sample);
    // A short target may hold one sentence only: then there is no choice.
    if (pair.label == 1 && pair.a.size() > 10) ++labels[1];
    if (pair.label == 0 && pair.a.size() > 10) ++labels[0];
    if (pair.label == 0) {
      EXPECT_EQ(pair.b.begin, pair.a.end);
    } else {
      EXPECT_TRUE(pair.b.begin >= corpus_->document_end(0, document) ||
                  pair.b.end <= corpus_->document_begin(0, document));
    }
  }

  EXPECT_GT(labels[0], 500);
  EXPECT_LT(chi_square(labels, {0.5, 0.5}), 11);
}

TEST_F(NspTest, TruncatesTheLongerSideAtBothEnds) {
  open(prose(20, 7));
  const NspObjective nsp(*corpus_, {T, 8, true});
  int front = 0, back = 0;
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    NspPair pair;
    pair.a = {0, 100, 104};
    pair.b = {0, 1000, 1000000};

    nsp.truncate(pair, sample);

    EXPECT_EQ(pair.a.size(), 4);
    EXPECT_EQ(pair.b.size(), T - 3 - 4);
    front += pair.b.begin > 1000 ? 1 : 0;
    back += pair.b.end < 1000000 ? 1 : 0;
  }
  EXPECT_EQ(front, 200);
  EXPECT_EQ(back, 200);
}

TEST_F(NspTest, ASentenceWithoutOtherDocumentsIsCutInTwo) {
  open("w1 w2 w3 w4\n");
  const NspObjective nsp(*corpus_, {T, 8, false});

  Example example = nsp.example(0, 0, 0, 1, rule_);

  put_back(example);
  EXPECT_EQ(example.label, 0);
  EXPECT_EQ(example.tokens, (std::vector<std::int32_t>{cls, 7, 8, sep, 9, 10, sep}));
}

}  // namespace
}  // namespace lockstep
