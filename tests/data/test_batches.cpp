#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <set>

#include "data/batches.h"
#include "data/matches.h"
#include "tensor/error.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

constexpr int64_t notes = 12, channels = 3;

std::vector<Piece> some_pieces() {
  Random random{3};
  std::vector<Piece> pieces;
  for (int64_t steps : {1, 40, 3, 16, 33, 1, 2})
    pieces.push_back({joined("piece of ", steps), std::make_shared<const Roll>(random_roll(random, steps))});
  return pieces;
}

// A step of a batch as lanes have it, by the definition: every step of an epoch in a list, cut into lanes.
struct ListedStep {
  int64_t piece = -1, step = 0;  // piece -1: nothing is there
};
std::vector<ListedStep> listed(const std::vector<Piece>& pieces, const BatchSettings& s, int64_t epoch) {
  std::vector<ListedStep> all;
  for (const int64_t piece : epoch_order(std::ssize(pieces), s.seed, epoch))
    for (int64_t step = 0; step < pieces[piece].roll->steps(); ++step) all.push_back({piece, step});
  const int64_t batch = s.columns * s.window;
  all.resize((all.size() + batch - 1) / batch * batch);
  return all;
}

Batch filled(const Batches& batches, const BatchSettings& s, int64_t epoch, int64_t batch, bool lanes,
             int64_t first_column = 0) {
  Batch part = BatchLayout{.steps = s.window,
                           .columns = s.columns / s.shards,
                           .notes = notes,
                           .channels = channels,
                           .dtype = Dtype::f64,
                           .begins = lanes,
                           .weights = true,
                           .span = s.span}
                   .make();
  part.each([](Tensor& tensor) { fill(tensor, 77); });
  batches.fill(part, epoch, batch, first_column);
  return part;
}

const std::vector<BatchSettings> some_settings{{.window = 8, .columns = 3},
                                               {.window = 32, .columns = 4, .seed = 5, .transpose = 3, .span = 4},
                                               {.window = 5, .columns = 8, .shards = 4},
                                               {.window = 128, .columns = 1},
                                               {.window = 1, .columns = 2},
                                               {.window = 128, .columns = 4, .shards = 2, .span = 8}};

}  // namespace

BOOST_AUTO_TEST_SUITE(batches)

BOOST_AUTO_TEST_CASE(an_epoch_of_lanes_has_every_step_once) {
  const std::vector<Piece> pieces = some_pieces();
  for (const BatchSettings& s : some_settings) {
    const LaneBatches lanes(pieces, s);
    BOOST_TEST(lanes.total() == 96);
    for (const int64_t epoch : {0, 1, 0}) {
      std::multiset<std::pair<int64_t, int64_t>> found;
      int64_t weight = 0;
      for (int64_t batch = 0; batch < lanes.count(); ++batch) {
        weight += lanes.weight(batch);
        for (int64_t lane = 0; lane < s.columns; ++lane)
          for (const LaneBatches::Run& run : lanes.runs(epoch, batch, lane))
            for (int64_t step = 0; run.piece >= 0 && step < run.count; ++step)
              found.insert({run.piece, run.first + step});
      }
      std::multiset<std::pair<int64_t, int64_t>> expected;
      for (size_t piece = 0; piece < pieces.size(); ++piece)
        for (int64_t step = 0; step < pieces[piece].roll->steps(); ++step) expected.insert({piece, step});
      BOOST_TEST((found == expected));
      BOOST_TEST(weight == 96);
    }
  }
}

// Each number of each batch by the definition.
BOOST_AUTO_TEST_CASE(lanes_by_their_definition) {
  const std::vector<Piece> pieces = some_pieces();
  for (const BatchSettings& s : some_settings) {
    const LaneBatches lanes(pieces, s);
    for (const int64_t epoch : {0, 3}) {
      const std::vector<ListedStep> all = listed(pieces, s, epoch);
      int64_t wrong = 0;
      for (int64_t batch = 0; batch < lanes.count(); ++batch) {
        double weights = 0, span_weights = 0;
        for (int64_t shard = 0; shard < s.shards; ++shard) {
          const int64_t size = s.columns / s.shards;
          const Batch part = filled(lanes, s, epoch, batch, true, shard * size);
          for (int64_t b = 0; b < size; ++b) {
            const int64_t lane = shard * size + b, first = (lane * lanes.count() + batch) * s.window;
            for (int64_t t = 0; t < s.window; ++t) {
              const auto [piece, step] = all[first + t];
              const int64_t at = t * size + b;
              const double weight = part.weight.values()[at];
              weights += weight;
              wrong += weight != (piece >= 0 ? 1 / static_cast<double>(lanes.weight(batch)) : 0);
              const int64_t shift = piece >= 0 ? epoch_shift(piece, s.transpose, s.seed, epoch) : 0;
              for (int64_t n = 0; n < notes; ++n) {
                const auto cell = [&, piece = piece](int64_t of) {  // clang 14 knows no bound names in lambdas
                  const bool inside = piece >= 0 && of >= 0 && n - shift >= 0 && n - shift < notes;
                  return inside ? pieces[piece].roll->cell(of, n - shift) : Cell{0};
                };
                const double* target = part.target.data<double>() + (at * notes + n) * channels;
                const double* input = part.input.data<double>() + (at * notes + n) * channels;
                wrong +=
                    target[0] != ((cell(step) & velocity_bits) > 0) || target[1] != ((cell(step) & replay_bit) != 0);
                wrong += input[0] != ((cell(step - 1) & velocity_bits) > 0) ||
                         input[2] != (cell(step - 1) & velocity_bits) / 127.0;
              }
              for (int64_t k = 0; k < 16; ++k)
                wrong += part.beat.data<double>()[at * 16 + k] != (piece >= 0 && step > 0 && (step - 1) % 16 == k);
              // Where the piece of this step began, among the steps of this batch.
              int64_t begins = t;
              while (piece >= 0 && begins > 0 && all[first + begins - 1].piece == piece && all[first + begins].step > 0)
                --begins;
              const bool before = piece >= 0 && begins == 0 && all[first].step > 0 && batch > 0;
              if (piece >= 0) wrong += part.begins.data<int32_t>()[at] != (before ? -1 : begins);
            }
            for (int64_t k = 0; k < s.window / s.span; ++k) {
              const ListedStep one = all[first + k * s.span], last = all[first + (k + 1) * s.span - 1];
              const bool whole = one.piece >= 0 && one.piece == last.piece && last.step - one.step == s.span - 1;
              const double weight = part.span_weight.values()[k * size + b];
              wrong += (weight > 0) != whole;
              span_weights += weight;
            }
          }
        }
        BOOST_TEST(std::abs(weights - 1) < 1e-12);
        BOOST_TEST((std::abs(span_weights - 1) < 1e-12 || span_weights == 0));
      }
      BOOST_TEST(wrong == 0);
    }
  }
}

// At each step those of the target, moved as the piece is; zeros where nothing is there.
BOOST_AUTO_TEST_CASE(lanes_have_the_match_features_of_each_target) {
  std::vector<Piece> pieces = some_pieces();
  for (const int64_t piece : {1, 4}) {  // which repeat every five steps
    Random random{static_cast<uint64_t>(piece)};
    const Roll some = random_roll(random, 5);
    auto again = std::make_shared<Roll>(some.lowest_note(), notes);
    std::vector<Cell> cells(notes);
    for (int64_t step = 0; step < pieces[piece].roll->steps(); ++step) some.row(step % 5, cells), again->append(cells);
    pieces[piece].roll = again;
  }
  find_matches(pieces, channels, 2);
  const int64_t width = match_features(channels), row = notes * width;
  for (const BatchSettings& s : some_settings) {
    if (s.shards > 1) continue;
    const LaneBatches lanes(pieces, s);
    const std::vector<ListedStep> all = listed(pieces, s, 3);
    int64_t wrong = 0, found = 0;
    for (int64_t batch = 0; batch < lanes.count(); ++batch) {
      Batch part = filled(lanes, s, 3, batch, true);
      part.match = Tensor::full({s.window, s.columns, notes, width}, 77, Dtype::f64);
      lanes.fill(part, 3, batch, 0);
      for (int64_t lane = 0; lane < s.columns; ++lane)
        for (int64_t t = 0; t < s.window; ++t) {
          const auto [piece, step] = all[(lane * lanes.count() + batch) * s.window + t];
          std::vector<double> expected(row);
          if (piece >= 0)
            unpack_matches(*pieces[piece].roll, std::span(*pieces[piece].matches[1]), step, 1, channels,
                           epoch_shift(piece, s.transpose, s.seed, 3), expected.data(), row);
          wrong +=
              !std::equal(expected.begin(), expected.end(), part.match.data<double>() + (t * s.columns + lane) * row);
          found += std::count_if(expected.begin(), expected.end(), [](double x) { return x != 0; });
        }
    }
    BOOST_TEST(wrong == 0);
    BOOST_TEST(found > 1000);
  }
}

BOOST_AUTO_TEST_CASE(shards_of_windows_are_parts_of_the_batch) {
  const std::vector<Piece> pieces = some_pieces();
  const Windows windows({pieces.begin(), pieces.begin() + 6}, 8, 8, 4);  // 15 windows
  const BatchSettings settings{.window = 8, .columns = 4, .shards = 2, .transpose = 2};
  const StaggeredBatches batches(windows, settings);
  BOOST_TEST(batches.count() == 4);
  BOOST_TEST(windows.count() == 15);
  const std::vector<int64_t> order = epoch_order(windows.count(), 1, 2);
  for (const int64_t batch : {0, 3}) {
    const Batch low = filled(batches, settings, 2, batch, false, 0),
                high = filled(batches, settings, 2, batch, false, 2);
    const std::vector<int64_t> which(order.begin() + batch * 4, order.begin() + batch * 4 + batches.weight(batch));
    std::vector<int64_t> shifts;
    for (const int64_t window : which) shifts.push_back(epoch_shift(window, 2, 1, 2));
    const Batch whole = windows.batch(which, channels, Dtype::f64, shifts);
    const int64_t there = batches.weight(batch);
    BOOST_TEST(there == (batch == 3 ? 3 : 4));
    BOOST_TEST(same_bits(slice(concat({low.target, high.target}, 1), 1, 0, there), whole.target));
    BOOST_TEST(same_bits(slice(concat({low.beat, high.beat}, 1), 1, 0, there), whole.beat));
    const std::vector<double> weights = concat({low.weight, high.weight}, 1).values();
    BOOST_TEST(std::abs(std::accumulate(weights.begin(), weights.end(), 0.0) - 1) < 1e-12);
    BOOST_TEST(weights[3] == (batch == 3 ? 0.0 : 1.0 / 32));
  }
}

BOOST_AUTO_TEST_CASE(pieces_of_like_length_stand_side_by_side) {
  const std::vector<Piece> pieces = some_pieces();
  const auto groups = groups_of_like_length(pieces, 3);
  std::vector<int64_t> all;
  for (const auto& group : groups) {
    BOOST_TEST(group.size() <= 3u);
    for (const int64_t piece : group) {
      all.push_back(piece);
      BOOST_TEST(4 * pieces[piece].roll->steps() <= 5 * pieces[group.front()].roll->steps());
    }
  }
  std::sort(all.begin(), all.end());
  BOOST_TEST(all.size() == pieces.size());
  BOOST_TEST((std::adjacent_find(all.begin(), all.end()) == all.end()));

  Batch batch =
      BatchLayout{.steps = 8, .columns = 2, .notes = notes, .dtype = Dtype::f64, .weights = true, .span = 4}.make();
  batch.each([](Tensor& tensor) { fill(tensor, 77); });
  BOOST_TEST(fill_pieces(batch, pieces, std::vector<int64_t>{3, 4}, 12, 4) == 4 + 8);  // of 16 and 33 steps
  const std::vector<double> weights = batch.weight.values(), spans = batch.span_weight.values();
  for (int64_t t = 0; t < 8; ++t) {
    BOOST_TEST(weights[2 * t] == (t < 4 ? 1.0 / 12 : 0));
    BOOST_TEST(weights[2 * t + 1] == 1.0 / 12);
  }
  BOOST_TEST(spans == (std::vector<double>{1.0 / 3, 1.0 / 3, 0, 1.0 / 3}), boost::test_tools::per_element());
  const Batch alone = piece_batch(pieces[4], 12, 8, channels, Dtype::f64, 4);
  BOOST_TEST(same_bits(slice(batch.input, 1, 1, 1), alone.input));
  BOOST_TEST(same_bits(slice(batch.beat, 1, 1, 1), alone.beat));
  BOOST_TEST(same_bits(slice(batch.target.slice(4, 4), 1, 0, 1), Tensor::zeros({4, 1, notes, channels}, Dtype::f64)));
}

BOOST_AUTO_TEST_SUITE_END()
