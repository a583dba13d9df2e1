#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>
#include <random>

#include "data/measures/counting.h"
#include "data/measures/key_counts.h"
#include "data/music/match.h"
#include "tests/support/corpus_folder.h"
#include "tests/support/rolls.h"
#include "tests/support/support.h"

// The models that count, and the exact figures on 88 keys, against plain loops over dense lists.
using namespace poph;
using namespace poph::test;

namespace {

Piece piece_of(Roll roll) { return {"piece", std::make_shared<const Roll>(std::move(roll))}; }

// Phrases that come back, as they were or higher; some cells are wrong.
Piece repeating_piece(uint32_t seed, int64_t steps, int64_t lowest, int64_t notes) {
  std::mt19937 random(seed);
  std::vector<Cell> cells(steps * notes);
  for (int64_t step = 0; step < steps; ++step)
    for (int64_t note = 0; note < notes; ++note) {
      const int64_t up = step % 24 >= 12 ? 1 : 0, phrase = step % 6;
      const bool on = (note - up + 7 * phrase) % 5 == 0 && note >= up;
      cells[step * notes + note] = on != (random() % 23 == 0) ? 64 : 0;
    }
  Roll roll(lowest, notes);
  roll.append(cells);
  return piece_of(std::move(roll));
}

// By the words of MODEL.md "Evaluation": what is counted of a cell is looked up under a list of numbers.
class PlainCounting {
 public:
  explicit PlainCounting(Counting model) : model_(model) {}

  void count(const Roll& roll) {
    walk(roll, [&](int64_t, int64_t note, const std::vector<int64_t>& context, bool on) {
      auto& own = of_key_[{note, context}];
      auto& all = of_all_[context];
      own.first += 1, all.first += 1;
      own.second += on, all.second += on;
    });
  }

  PieceScore score(const Roll& roll) {
    PieceScore found{roll.steps()};
    walk(roll, [&](int64_t step, int64_t note, const std::vector<int64_t>& context, bool on) {
      const auto own = of_key_[{note, context}], all = of_all_[context];
      const double of_all = (all.second + 0.5) / (all.first + 1);
      const double p = model_ == Counting::frequency ? (own.second + 0.5) / (own.first + 1)
                                                     : (own.second + 6 * of_all) / (own.first + 6);
      found.all += std::log(on ? p : 1 - p);
      if (step == 0) found.first += std::log(on ? p : 1 - p);
    });
    return found;
  }

 private:
  template <class F>
  void walk(const Roll& roll, F visit) const {
    const auto on = [&](int64_t step, int64_t note) {
      return step >= 0 && note >= 0 && note < roll.notes() && roll.cell(step, note) != 0;
    };
    const std::vector<Matches> matches = find_matches(roll, 1);
    for (int64_t step = 0; step < roll.steps(); ++step) {
      const Matches& found = matches[step];
      const Match& match = found.exact.length >= 3 || found.transposed.length == 0 ? found.exact : found.transposed;
      int64_t wrong = 0, right = 0, notes = 0;
      for (int64_t note = 0; note < roll.notes(); ++note) {
        std::vector<int64_t> context;
        const int64_t states = model_ == Counting::frequency ? 0 : model_ == Counting::last_states ? 8 : 3;
        for (int64_t back = 1; back <= states; ++back) context.push_back(on(step - back, note));
        const bool bit = match.length > 0 && on(match.from, note - match.shift);
        if (model_ == Counting::match_table)
          for (int64_t number : {int64_t{match.length}, int64_t{bit},
                                 wrong > 1    ? int64_t{0}
                                 : wrong == 1 ? 1
                                 : right == 0 ? 2
                                              : 3,
                                 std::min<int64_t>(notes, 4)})
            context.push_back(number);
        const bool sounds = on(step, note);
        visit(step, note, context, sounds);
        if (match.length > 0) wrong += sounds != bit, right += sounds && bit;
        notes += sounds;
      }
    }
  }

  Counting model_;
  std::map<std::pair<int64_t, std::vector<int64_t>>, std::pair<double, double>> of_key_;
  std::map<std::vector<int64_t>, std::pair<double, double>> of_all_;
};

bool near(double a, double b) { return std::abs(a - b) <= 1e-11 * std::abs(b); }

}  // namespace

BOOST_AUTO_TEST_SUITE(counting)

BOOST_AUTO_TEST_CASE(models_count_as_plain_loops_do) {
  std::vector<Piece> train, held_out;
  for (uint32_t seed = 1; seed <= 4; ++seed) train.push_back(repeating_piece(seed, 90, 40, 70));
  for (uint32_t seed = 5; seed <= 6; ++seed) held_out.push_back(repeating_piece(seed, 10 + 30 * (seed - 4), 40, 70));
  held_out.push_back(piece_of(chance_roll(9, 30, 40, 70, 0.1)));
  const CountingModels models = *CountingModels::counted(train);
  const CountingModels::Scores found = *models.scores(held_out);
  for (size_t m = 0; m < found.size(); ++m) {
    PlainCounting plain(static_cast<Counting>(m));
    for (const Piece& piece : train) plain.count(*piece.roll);
    for (size_t i = 0; i < held_out.size(); ++i) {
      const PieceScore expected = plain.score(*held_out[i].roll);
      BOOST_TEST_CONTEXT(counting_models[m].name << ", piece " << i) {
        BOOST_TEST(found[m][i].steps == expected.steps);
        BOOST_TEST(near(found[m][i].all, expected.all));
        BOOST_TEST(near(found[m][i].first, expected.first));
      }
    }
  }
  BOOST_TEST(found[1][0].all > found[0][0].all);
}

BOOST_AUTO_TEST_CASE(counting_stops_when_asked) {
  const std::vector<Piece> pieces = {repeating_piece(1, 20, 60, 12)};
  const auto stop = [](int64_t) { return true; };
  BOOST_TEST(!CountingModels::counted(pieces, stop));
  BOOST_TEST(!CountingModels::counted(pieces)->scores(pieces, stop));
  BOOST_TEST(message_of([&] { CountingModels::counted({}); }) == "counting: there are no pieces to count");
  BOOST_TEST(message_of([&] { CountingModels::counted(pieces)->scores({repeating_piece(1, 9, 60, 13)}); }) ==
             "counting: a piece of 13 notes, expected 12");
}

// The narrow reading of a chord file with its counts of outside keys, against its reading on 88 keys.
BOOST_AUTO_TEST_CASE(keys_outside_the_range_are_counted_and_scored) {
  const Folder folder;
  write_plainly(folder / "c.json",
                "{\"train\": [[[60, 21], [60, 100], [21], [62]], [[61, 108], []]], "
                "\"test\": [[[60, 21, 20], [62, 21], [21, 100], [99]]]}");
  CorpusSettings settings;
  settings.sources = {folder / "c.json"};
  settings.channels = 1;
  settings.roll.lowest_note = 60;
  settings.roll.notes = 12;
  const Corpus narrow = load_corpus(settings);
  settings.roll.lowest_note = 21;
  settings.roll.notes = 88;
  const Corpus wide = load_corpus(settings);
  BOOST_REQUIRE(narrow.train[0].outside);
  BOOST_TEST(!wide.train[0].outside);
  BOOST_TEST((narrow.train[0].outside == OutsideKeys{{21, true, 2}, {100, false, 1}}));
  BOOST_TEST((narrow.test[0].outside == OutsideKeys{{21, true, 3}, {99, false, 1}, {100, false, 1}}));
  const std::optional<KeyCounts> counts = count_keys(narrow.train);
  BOOST_REQUIRE(counts);
  BOOST_TEST((*counts == count_keys(wide.train)));
  BOOST_TEST(counts->frames == 6);
  BOOST_TEST(counts->probability(21) == 2.5 / 7);

  double all = 0, first = 0;
  const Roll& roll = *wide.test[0].roll;
  for (int64_t step = 0; step < roll.steps(); ++step)
    for (int64_t pitch = 21; pitch < 109; ++pitch) {
      if (pitch >= 60 && pitch < 72) continue;
      const double p = (0.5 + static_cast<double>(counts->sounding[pitch - 21])) / 7;
      const double nats = std::log(roll.cell(step, pitch - 21) ? p : 1 - p);
      all += nats;
      if (step == 0) first += nats;
    }
  const PieceScore found = outside_scores(narrow.test, *counts)->at(0);
  BOOST_TEST(found.steps == 4);
  BOOST_TEST(near(found.all, all));
  BOOST_TEST(near(found.first, first));
  // The frequency of each key is the very same model outside the range.
  const PieceScore inside = CountingModels::counted(narrow.train)->scores(narrow.test)->at(0).at(0);
  BOOST_TEST(near(inside.all + found.all, CountingModels::counted(wide.train)->scores(wide.test)->at(0).at(0).all));

  // As pieces have none where a model has more than play, and where a note is none of the piano.
  BOOST_TEST(!count_keys({piece_of(chance_roll(1, 4, 60, 12, 0.5))}));
  BOOST_TEST(!outside_scores({piece_of(chance_roll(1, 4, 10, 90, 0.5))}, *counts));
}

// Of MIDI files, whether they are decoded or come from the cache; only where the model is one of play alone.
BOOST_AUTO_TEST_CASE(keys_outside_the_range_of_midi_files) {
  const Folder folder;
  const Roll whole = roll_of({{0, 2, 60}, {0, 3, 21}, {1, 1, 72}, {2, 2, 71}, {3, 4, 90}}, 0, 21, 88);
  write_bytes(folder / "music/a.mid", encode(whole));
  CorpusSettings settings = corpus_of({folder / "music"});
  settings.roll.lowest_note = 60;
  settings.roll.notes = 12;
  settings.split = Split::none;
  settings.cache = {folder / "cache", 0, 0};
  for (int64_t channels : {3, 1, 1}) {  // the second of one channel is the cache's
    settings.channels = channels;
    const Corpus corpus = load_corpus(settings);
    const Piece& piece = corpus.train.at(0);
    BOOST_TEST(piece.roll->steps() == 4);
    BOOST_TEST(piece.outside.has_value() == (channels == 1));
    // Key 90 goes on behind the last step of what is read.
    if (piece.outside) BOOST_TEST((piece.outside == OutsideKeys{{21, true, 3}, {72, false, 1}, {90, false, 1}}));
    BOOST_TEST(corpus.dropped_notes == 3);
  }
}

BOOST_AUTO_TEST_CASE(counts_of_keys_as_text) {
  KeyCounts counts;
  counts.frames = 30;
  for (size_t i = 0; i < counts.sounding.size(); ++i) counts.sounding[i] = static_cast<int64_t>(i) % 31;
  const std::string text = key_counts_text(counts);
  BOOST_TEST((parse_key_counts(text, "x") == counts));
  for (const std::string& wrong : {std::string(), text + " 1", text.substr(0, text.size() - 3), "29" + text.substr(2),
                                   "-1" + text.substr(2), "30  1" + text.substr(4)})
    BOOST_TEST(message_of([&] { parse_key_counts(wrong, "x"); }).starts_with("x: found the counts of keys \""), wrong);
}

BOOST_AUTO_TEST_SUITE_END()
