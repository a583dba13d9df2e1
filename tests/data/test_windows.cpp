#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <set>

#include "data/matches.h"
#include "data/windows.h"
#include "tensor/error.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

constexpr int64_t notes = 12, T = 7;

std::vector<Piece> some_pieces() {
  Random random{3};
  std::vector<Piece> pieces;
  for (int64_t steps : {1, 40, 3, 16, 33})
    pieces.push_back({joined("piece of ", steps), std::make_shared<const Roll>(random_roll(random, steps))});
  return pieces;
}

// A cell of the piece with T zero steps in front, as MODEL.md "Windows" has it.
double padded(const Roll& roll, int64_t step, int64_t note, int64_t channel, int64_t padding) {
  step -= padding;
  if (step < 0 || step >= roll.steps() || note < 0 || note >= roll.notes()) return 0;
  const Cell cell = roll.cell(step, note);
  const int velocity = cell & velocity_bits;
  return channel == 0 ? velocity > 0 : channel == 1 ? (cell & replay_bit) != 0 : velocity / 127.0;
}

// How many numbers of a batch's column b differ from a window's definition.
template <class Number>
int64_t wrong_in(const Batch& batch, int64_t b, const Roll& roll, int64_t i, int64_t padding, int64_t shift,
                 int64_t quarter = 4) {
  const Shape shape = batch.input.shape();
  const int64_t steps = shape[0], size = shape[1], channels = shape[3];
  int64_t wrong = 0;
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t n = 0; n < notes; ++n)
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t at = ((t * size + b) * notes + n) * channels + c;
        wrong += batch.input.data<Number>()[at] != static_cast<Number>(padded(roll, i + t, n - shift, c, padding));
        wrong += batch.target.data<Number>()[at] != static_cast<Number>(padded(roll, i + 1 + t, n - shift, c, padding));
      }
    const int64_t j = i + t - padding;  // of the unpadded piece
    for (int64_t k = 0; k < 16; ++k)
      wrong +=
          batch.beat.data<Number>()[(t * size + b) * 16 + k] != (j >= 0 && j % (4 * quarter) * 16 / (4 * quarter) == k);
  }
  return wrong;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(windows)

BOOST_AUTO_TEST_CASE(every_window_by_its_definition) {
  const auto pieces = some_pieces();
  for (int64_t stride : {1, 4, 16}) {
    const Windows windows(pieces, T, stride, 4);
    std::vector<std::pair<int64_t, int64_t>> want;  // (piece, i)
    for (size_t p = 0; p < pieces.size(); ++p)
      for (int64_t i = 0; i < pieces[p].roll->steps(); i += stride) want.push_back({p, i});
    BOOST_REQUIRE_EQUAL(windows.count(), std::ssize(want));
    Random random{static_cast<uint64_t>(stride)};
    for (int round = 0; round < 20; ++round) {
      const int64_t size = 1 + random.below(5), channels = round % 2 ? 3 : 1;
      std::vector<int64_t> which, shifts;
      for (int64_t b = 0; b < size; ++b)
        which.push_back(random.below(windows.count())), shifts.push_back(random.below(11) - 5);
      const bool shifted = round % 3 == 0;
      const Batch single = windows.batch(which, channels, Dtype::f32, shifted ? shifts : std::vector<int64_t>{});
      const Batch exact = windows.batch(which, channels, Dtype::f64, shifted ? shifts : std::vector<int64_t>{});
      BOOST_TEST((single.input.shape() == Shape{T, size, notes, channels}));
      BOOST_TEST((single.target.shape() == single.input.shape()));
      BOOST_TEST((single.beat.shape() == Shape{T, size, 16}));
      for (int64_t b = 0; b < size; ++b) {
        const auto [piece, i] = want[which[b]];
        const int64_t shift = shifted ? shifts[b] : 0;
        BOOST_TEST(wrong_in<float>(single, b, *pieces[piece].roll, i, T, shift) == 0);
        BOOST_TEST(wrong_in<double>(exact, b, *pieces[piece].roll, i, T, shift) == 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_whole_piece_for_evaluation) {
  Random random{5};
  const Roll roll = random_roll(random, 50);
  const Piece piece{"piece", std::make_shared<const Roll>(roll)};
  for (int64_t channels : {1, 3})
    for (const auto& [first, count] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 50}, {0, 1}, {1, 20}, {17, 33}, {49, 1}}) {
      const Batch batch = piece_batch(piece, first, count, channels, Dtype::f64, 4);
      BOOST_TEST((batch.input.shape() == Shape{count, 1, notes, channels}));
      // one zero step in front is the past of the first
      BOOST_TEST(wrong_in<double>(batch, 0, roll, first, 1, 0) == 0);
    }
  BOOST_CHECK_THROW(piece_batch(piece, 0, 51, 3, Dtype::f32, 4), Error);
  BOOST_CHECK_THROW(piece_batch(piece, -1, 5, 3, Dtype::f32, 4), Error);
  BOOST_CHECK_THROW(piece_batch(piece, 3, 0, 3, Dtype::f32, 4), Error);
}

// Position t has the features of its target step, as unpack_matches gives them.
BOOST_AUTO_TEST_CASE(match_features_are_those_of_the_target) {
  auto pieces = some_pieces();
  Random random{7};
  const Roll some = random_roll(random, 6);
  auto again = std::make_shared<Roll>(some.lowest_note(), notes);
  for (int64_t step = 0; step < 40; ++step) {
    std::vector<Cell> cells(notes);
    some.row(step % 6, cells);
    again->append(cells);
  }
  pieces[1].roll = again;
  for (int64_t channels : {1, 3}) {
    const int64_t row = notes * match_features(channels);
    const auto expected = [&](const Piece& piece, int64_t step, int64_t shift) {
      std::vector<double> features(row);
      unpack_matches(*piece.roll, std::span<const Matches>(find_matches(*piece.roll, channels)), step, 1, channels,
                     shift, features.data(), row);
      return features;
    };
    find_matches(pieces, channels, 2);
    const Windows windows(pieces, T, 4, 4);
    const std::vector<int64_t> which{8, windows.count() - 1, 5}, shifts{0, -2, 3};
    const Batch batch = windows.batch(which, channels, Dtype::f64, shifts);
    BOOST_TEST((batch.match.shape() == Shape{T, 3, notes, match_features(channels)}));
    int64_t wrong = 0, sounding = 0;
    for (int64_t b = 0; b < 3; ++b)
      for (int64_t t = 0; t < T; ++t) {
        const Windows::View at = windows.view(which[b]);
        const auto want = expected(pieces[at.piece], at.first_step - T + t + 1, shifts[b]);
        const double* found = batch.match.data<double>() + (t * 3 + b) * row;
        wrong += !std::equal(want.begin(), want.end(), found);
        sounding += std::count_if(want.begin(), want.end(), [](double x) { return x != 0; });
      }
    BOOST_TEST(wrong == 0);
    BOOST_TEST(sounding > 0);
    const Batch single = piece_batch(pieces[1], 30, 5, channels, Dtype::f32, 4);
    for (int64_t t = 0; t < 5; ++t) {
      const auto want = expected(pieces[1], 30 + t, 0);
      for (int64_t i = 0; i < row; ++i)
        BOOST_TEST(single.match.data<float>()[t * row + i] == static_cast<float>(want[i]));
    }
  }
  const Batch without = Windows(some_pieces(), T, 4, 4).batch(std::vector<int64_t>{0}, 3, Dtype::f32);
  BOOST_TEST(!without.match.defined());
  Batch asked = without;
  asked.match = Tensor({T, 1, notes, 8}, Dtype::f32);
  BOOST_TEST(message_of([&] { Windows(some_pieces(), T, 4, 4).fill(asked, std::vector<int64_t>{0}); }) ==
             "match: the matches of piece of 1 are not known");
}

// A bar is four quarter notes, and the beat tells its sixteenth parts, whatever a step is.
BOOST_AUTO_TEST_CASE(beats_at_other_steps_per_quarter) {
  Random random{6};
  const Roll roll = random_roll(random, 90);
  for (int64_t quarter : {1, 2, 3, 6, 12}) {
    const Piece piece{"piece", std::make_shared<const Roll>(roll)};
    const Windows windows({piece}, T, 1, quarter);
    BOOST_TEST(wrong_in<double>(windows.batch(std::vector<int64_t>{60}, 3, Dtype::f64), 0, roll, 60, T, 0, quarter) ==
               0);
    BOOST_TEST(wrong_in<double>(piece_batch(piece, 10, 70, 3, Dtype::f64, quarter), 0, roll, 10, 1, 0, quarter) == 0);
  }
}

BOOST_AUTO_TEST_CASE(misuse) {
  auto pieces = some_pieces();
  const Windows windows(pieces, T, 16, 4);
  const auto batch = [&](std::vector<int64_t> which, int64_t channels, Dtype dtype, std::vector<int64_t> shifts = {}) {
    return windows.batch(which, channels, dtype, shifts);
  };
  BOOST_CHECK_THROW(batch({windows.count()}, 3, Dtype::f32), Error);
  BOOST_CHECK_THROW(batch({-1}, 3, Dtype::f32), Error);
  BOOST_CHECK_THROW(batch({0}, 2, Dtype::f32), Error);
  BOOST_CHECK_THROW(batch({0}, 3, Dtype::i32), Error);
  BOOST_CHECK_THROW(batch({0}, 3, Dtype::f32, {1, 2}), Error);
  BOOST_CHECK_THROW(batch({}, 3, Dtype::f32), Error);
  BOOST_CHECK_THROW(Windows(pieces, 0, 16, 4), Error);
  BOOST_CHECK_THROW(Windows(pieces, 8, 0, 4), Error);
  BOOST_TEST(Windows().count() == 0);
  pieces.push_back({"other", std::make_shared<const Roll>(Roll(59, 12))});
  BOOST_CHECK_EXCEPTION(Windows(pieces, T, 16, 4), Error, [](const Error& error) {
    return std::string(error.what()) == "windows: other has 12 notes from 59, expected 12 from 60";
  });
}

BOOST_AUTO_TEST_CASE(orders_are_permutations_and_repeat) {
  std::set<std::vector<int64_t>> seen;
  for (int64_t epoch = 0; epoch < 10; ++epoch)
    for (uint64_t seed = 0; seed < 10; ++seed) {
      auto order = epoch_order(50, seed, epoch);
      BOOST_TEST(order == epoch_order(50, seed, epoch), boost::test_tools::per_element());
      seen.insert(order);
      std::sort(order.begin(), order.end());
      std::vector<int64_t> all(50);
      std::iota(all.begin(), all.end(), 0);
      BOOST_TEST(order == all, boost::test_tools::per_element());
    }
  BOOST_TEST(seen.size() == 100u);
  BOOST_TEST(epoch_order(0, 1, 1).empty());
  BOOST_TEST(epoch_order(1, 1, 1) == std::vector<int64_t>{0}, boost::test_tools::per_element());
  // Written down once: a run must repeat on any machine and with any later version.
  BOOST_TEST(epoch_order(8, 1, 0) == (std::vector<int64_t>{1, 0, 3, 4, 6, 5, 2, 7}), boost::test_tools::per_element());
  // Every item comes to every place about equally often: 24,000 draws over 36 cells, chi square of 25 degrees below 60.
  std::vector<int> hits(36);
  for (int64_t epoch = 0; epoch < 4000; ++epoch) {
    const auto order = epoch_order(6, 42, epoch);
    for (int64_t place = 0; place < 6; ++place) ++hits[place * 6 + order[place]];
  }
  double chi_square = 0;
  for (int hit : hits) chi_square += (hit - 4000 / 6.0) * (hit - 4000 / 6.0) / (4000 / 6.0);
  BOOST_TEST(chi_square < 60);
}

BOOST_AUTO_TEST_CASE(shifts_are_uniform_and_repeat) {
  std::vector<int> hits(7);
  for (int64_t window = 0; window < 700; ++window)
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      const int64_t shift = epoch_shift(window, 3, 1, epoch);
      BOOST_REQUIRE(shift >= -3 && shift <= 3);
      BOOST_TEST(shift == epoch_shift(window, 3, 1, epoch));
      ++hits[shift + 3];
    }
  for (int hit : hits) BOOST_TEST(std::abs(hit - 1000) < 150);
  BOOST_TEST(epoch_shift(5, 0, 1, 1) == 0);
  BOOST_CHECK_THROW(epoch_shift(5, -1, 1, 1), Error);
}

BOOST_AUTO_TEST_SUITE_END()
