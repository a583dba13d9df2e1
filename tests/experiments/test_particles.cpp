#include <boost/test/unit_test.hpp>
#include <cmath>

#include "experiments/compose/composer.h"
#include "experiments/compose/history.h"
#include "experiments/compose/particles.h"
#include "tests/support/lively_models.h"

// Composing with particles (MODEL.md "Conditions"), apart from their distribution: test_condition_toys.cpp has that.
namespace {

using namespace poph;
using namespace poph::test;

constexpr FixedCell silent{.play = Play::silent}, held{.play = Play::sounds, .struck = false, .velocity = 50},
    struck{.play = Play::sounds, .struck = true, .velocity = 110};

// Some music for a melody in bars: its cells are all kept, whatever is composed beside them.
Constraint some_constraint(int64_t notes) {
  Constraint constraint{.notes = notes, .cells = std::vector<FixedCell>(20 * notes)};
  for (int64_t s = 0; s < 20; ++s) {
    constraint.cells[s * notes + notes - 1] = silent;
    if (s % 7 < 5) constraint.cells[s * notes + notes - 2] = s % 7 == 0 || s % 3 == 0 ? struck : held;
    if (s % 2 == 0) constraint.cells[s * notes] = silent;
  }
  return constraint;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(composer_particles, OneThread)

BOOST_AUTO_TEST_CASE(given_notes_are_kept_exactly_for_any_number_of_threads_and_pieces) {
  int64_t resampled = 0;
  for (const TinyModel& tiny : tiny_models()) {
    const bool looked_at = tiny.name == "lstm_lstm" || tiny.name == "sa2d_lstm_lstm" || tiny.name == "play only" ||
                           tiny.name == "match" || tiny.name == "leaky";
    if (!looked_at) continue;
    Biaxial lively = lively_model(tiny.settings);
    const Biaxial model = in_float(lively);
    const int64_t notes = tiny.settings.notes;
    const Constraint constraint = some_constraint(notes);
    Roll prime(tiny.settings.lowest_note, notes);
    prime.append(std::vector<Cell>(3 * notes, 70));
    for (int64_t context : {0, 4})
      for (const bool primed : {false, true}) BOOST_TEST_CONTEXT(tiny.name << ", context " << context) {
          ComposeSettings settings{.pieces = 3,
                                   .steps = 24,
                                   .temperature = 0.4,
                                   .prime = primed ? &prime : nullptr,
                                   .keep_prime = primed,
                                   .context = context,
                                   .constraint = &constraint,
                                   .particles = 6};
          std::vector<ConditionReport> reports;
          const std::vector<Roll> three = compose(model, settings, {}, &reports);
          BOOST_TEST(reports.size() == 3u);
          for (const ConditionReport& report : reports) {
            resampled += report.resampled;
            BOOST_TEST(report.log_probability < 0);
            BOOST_TEST(report.smallest_effective_size >= 1 - 1e-9);
            BOOST_TEST(report.smallest_effective_size < 6);
          }
          for (const Roll& roll : three)
            for (int64_t s = 0, at = primed ? 3 : 0; s < 24; ++s)
              for (int64_t n = 0; n < notes; ++n) {
                const FixedCell fixed = constraint.at(s, n);
                const Cell cell = roll.cell(at + s, n);
                const bool sounded = at + s > 0 && roll.cell(at + s - 1, n) != 0;
                if (fixed.play == Play::silent) BOOST_TEST(cell == 0);
                if (fixed.play == Play::sounds)
                  BOOST_TEST(cell == (fixed.velocity | (fixed.struck && sounded ? replay_bit : 0)));
              }
          BOOST_TEST((three[0] != three[1]));
          {
            const Threads threads(2);
            BOOST_TEST((compose(model, settings) == three));
          }
          settings.pieces = 2;
          const std::vector<Roll> two = compose(model, settings);
          BOOST_TEST((two[0] == three[0]));
          BOOST_TEST((two[1] == three[1]));
        }
  }
  BOOST_TEST(resampled > 20);
}

BOOST_AUTO_TEST_CASE(what_fixes_nothing_composes_as_without_it) {
  const Biaxial model = lively_model(tiny_models()[0].settings);
  const int64_t notes = model.settings.notes;
  const Constraint nothing{
      .notes = notes, .cells = std::vector<FixedCell>(9 * notes), .always_silent = std::vector<bool>(notes)};
  const ComposeSettings plain{.pieces = 2, .steps = 20};
  ComposeSettings with = plain;
  with.constraint = &nothing;
  with.particles = 16;
  std::vector<ConditionReport> reports;
  BOOST_TEST((compose(model, with, {}, &reports) == compose(model, plain)));
  BOOST_TEST(reports[0].log_probability == 0);
  Constraint many = nothing;  // as many as there are
  many.most_notes = notes;
  with.constraint = &many;
  BOOST_TEST((compose(model, with) == compose(model, plain)));
  const Constraint other{.notes = notes - 1, .cells = std::vector<FixedCell>(notes - 1, struck)};
  with.constraint = &other;
  BOOST_TEST(message_of([&] { compose(model, with); }) ==
             joined("compose: a constraint of ", notes - 1, " notes, and the model has ", notes));
  // Until something is fixed, a particle alone composes as without it, too.
  Constraint late{.notes = notes, .cells = std::vector<FixedCell>(20 * notes)};
  late.cells[18 * notes] = struck;
  with.constraint = &late;
  with.particles = 1;
  const Roll forced = compose(model, with)[1], free = compose(model, plain)[1];
  for (int64_t s = 0; s < 18; ++s)
    for (int64_t n = 0; n < notes; ++n) BOOST_TEST(forced.cell(s, n) == free.cell(s, n));
  BOOST_TEST((forced.cell(18, 0) & velocity_bits) == 110);
}

// Bars in which nothing is weighed say nothing of how many particles are needed.
BOOST_AUTO_TEST_CASE(who_looks_on_sees_the_piece_and_changes_no_bit) {
  for (const TinyModel& tiny : tiny_models()) {
    if (tiny.name != "lstm_lstm" && tiny.name != "play only" && tiny.name != "match") continue;
    Biaxial lively = lively_model(tiny.settings);
    const Biaxial model = in_float(lively);
    const int64_t notes = tiny.settings.notes;
    const Constraint constraint = some_constraint(notes);
    Roll prime(tiny.settings.lowest_note, notes);
    prime.append(std::vector<Cell>(3 * notes, 70));
    for (const int64_t particles : {1, 6}) BOOST_TEST_CONTEXT(tiny.name << ", " << particles << " particles") {
        ComposeSettings settings{.pieces = 2,
                                 .steps = 24,
                                 .temperature = 0.4,
                                 .prime = &prime,
                                 .constraint = particles > 1 ? &constraint : nullptr,
                                 .particles = particles};
        const std::vector<Roll> alone = compose(model, settings);
        std::vector<ComposedStep> seen;
        std::vector<std::vector<SoundingNote>> settled;
        int64_t calls = 0, shrunk = 0;
        const auto same = [](const SoundingNote& a, const SoundingNote& b) {
          return a.note == b.note && a.cell == b.cell;
        };
        settings.watcher = [&](const PieceSoFar& piece) {
          ++calls;
          BOOST_TEST((piece.changed <= std::ssize(seen) && piece.settled <= piece.steps));
          shrunk += piece.changed < std::ssize(seen);
          seen.resize(piece.changed);
          seen.insert(seen.end(), piece.fresh.begin(), piece.fresh.end());
          BOOST_TEST(std::ssize(seen) == piece.steps);
          BOOST_TEST((particles > 1 || piece.settled == piece.steps));
          for (size_t s = 0; s < settled.size(); ++s)  // what was settled stays
            BOOST_TEST(
                std::equal(settled[s].begin(), settled[s].end(), seen[s].notes.begin(), seen[s].notes.end(), same));
          settled.clear();
          for (int64_t s = 0; s < piece.settled; ++s) settled.push_back(seen[s].notes);
        };
        BOOST_TEST((compose(model, settings) == alone));
        BOOST_TEST(calls == 25);
        BOOST_TEST((shrunk > 0) == (particles > 1));
        BOOST_TEST(std::ssize(settled) == 24);
        for (int64_t s = 0; s < 24; ++s) {
          std::vector<Cell> shown(notes, 0), row(notes);
          for (const SoundingNote& note : seen[s].notes) {
            shown[note.note] = note.cell;
            BOOST_TEST((note.probability > 0 && note.probability <= 1));
            BOOST_TEST(note.given == (particles > 1 && constraint.at(s, note.note).play == Play::sounds));
          }
          alone[0].row(s, row);
          BOOST_TEST(shown == row, boost::test_tools::per_element());
          BOOST_TEST(seen[s].log_probability < 0);
        }
      }
  }
}

BOOST_AUTO_TEST_CASE(thin_bars_are_those_in_which_something_is_weighed) {
  const Biaxial model = lively_model(tiny_models()[0].settings);
  const int64_t notes = model.settings.notes;
  Constraint first{.notes = notes, .cells = std::vector<FixedCell>(16 * notes)};
  for (const int64_t step : {0, 3, 15}) first.cells[step * notes] = struck;
  std::vector<ConditionReport> reports;
  compose(model, {.pieces = 2, .steps = 48, .constraint = &first, .particles = 1}, {}, &reports);
  for (const ConditionReport& report : reports) BOOST_TEST(report.thin_bars == 1);
}

BOOST_AUTO_TEST_CASE(no_more_notes_sound_than_may) {
  const Biaxial model = lively_model(tiny_models()[0].settings);
  const int64_t notes = model.settings.notes;
  Constraint constraint = some_constraint(notes);
  const auto most = [&](int64_t limit) {
    constraint.most_notes = limit;
    const Roll roll = compose(model, {.pieces = 1, .steps = 60, .constraint = &constraint, .particles = 8})[0];
    int64_t found = 0;
    for (int64_t s = 0; s < 60; ++s) {
      int64_t sounding = 0;
      for (int64_t n = 0; n < notes; ++n) sounding += roll.cell(s, n) != 0;
      found = std::max(found, sounding);
    }
    return found;
  };
  BOOST_TEST(most(0) > 2);
  BOOST_TEST(most(2) == 2);
  BOOST_TEST(most(1) == 1);
  constraint.cells[3 * notes] = struck;
  BOOST_TEST(message_of([&] { most(1); }) == "compose: 2 notes are given in step 3, and at most 1 may sound");
  BOOST_TEST(message_of([&] { most(-1); }).starts_with("compose: "));
}

BOOST_AUTO_TEST_CASE(a_condition_that_hardly_any_temperature_allows) {
  const Biaxial model = lively_model(tiny_models()[0].settings);
  const Constraint constraint = some_constraint(model.settings.notes);
  std::vector<ConditionReport> reports;
  compose(model, {.pieces = 1, .steps = 20, .temperature = 1e-308, .constraint = &constraint, .particles = 4}, {},
          &reports);
  BOOST_TEST(std::isfinite(reports[0].log_probability));
  BOOST_TEST(reports[0].smallest_effective_size >= 1);
}

BOOST_AUTO_TEST_CASE(particles_are_drawn_by_their_weights) {
  Particles particles(4);
  const auto weigh = [&](std::vector<double> weights) {
    for (size_t i = 0; i < weights.size(); ++i) particles.weigh(static_cast<int64_t>(i), std::log(weights[i]));
  };
  weigh({0.5, 0.4, 0.5, 0.4});
  BOOST_TEST(particles.end_step(0.5).empty());
  BOOST_TEST(std::abs(particles.effective_size() - 1.8 * 1.8 / 0.82) < 1e-12);
  BOOST_TEST(std::abs(particles.log_probability() - std::log(0.45)) < 1e-12);
  BOOST_TEST(particles.draw(0.0) == 0);
  BOOST_TEST(particles.draw(0.28) == 1);
  BOOST_TEST(particles.draw(0.999) == 3);
  weigh({0.02, 0.025, 0.02, 1});  // 0.01, 0.01, 0.01, 0.4
  const double size = 0.43 * 0.43 / (0.16 + 0.0003);
  BOOST_TEST(particles.end_step(0.05) == (Columns{0, 3, 3, 3}), boost::test_tools::per_element());
  BOOST_TEST(std::abs(particles.smallest_effective_size() - size) < 1e-12);
  BOOST_TEST(particles.resampled() == 1);
  BOOST_TEST(std::abs(particles.log_probability() - std::log(0.43 / 4)) < 1e-12);
  BOOST_TEST(std::abs(particles.effective_size() - 4) < 1e-12);
  BOOST_TEST(particles.draw(0.5) == 2);
  weigh({0.01, 0.01, 0.4, 0.01});
  BOOST_TEST(particles.end_step(0.95) == (Columns{2, 2, 2, 3}), boost::test_tools::per_element());
  BOOST_TEST(std::abs(particles.log_probability() - 2 * std::log(0.43 / 4)) < 1e-12);
}

// Particles that are drawn anew at every step: of 64 of them over 1000 steps the memory holds 1000 steps and little
// more, not 64,000 (MODEL.md "Conditions").
BOOST_AUTO_TEST_CASE(particles_share_their_past) {
  constexpr int64_t count = 64, length = 1000;
  History history(1, count);
  std::vector<std::vector<double>> plain(count);
  for (int64_t s = 0; s < length; ++s) {
    std::vector<History::Column> step;
    for (int64_t i = 0; i < count; ++i) {
      const double name = static_cast<double>(s * count + i);
      plain[i].push_back(name);
      step.push_back(std::make_shared<const HistoryStep>(HistoryStep{{name}, {}}));
    }
    history.append(step);
    Columns columns;
    std::vector<std::vector<double>> selected;
    for (uint64_t i = 0; i < count; ++i) {
      const RandomKey key{3, 0, static_cast<uint32_t>(s), RandomUse::sampling};
      columns.push_back(key.bits(i) % count);
      selected.push_back(plain[columns.back()]);
    }
    history.select(columns);
    plain = selected;
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t s = 0; s < length; ++s) BOOST_REQUIRE(history.at(s, i).cells[0] == plain[i][s]);
  BOOST_TEST(history.steps() == length);
  const double bound = length + 2 * count * std::log(static_cast<double>(count));
  BOOST_TEST(static_cast<double>(history.steps_held()) < bound, history.steps_held());
  BOOST_TEST(history.steps_held() > length);
  BOOST_TEST(history.places() < length + count * 8 * count);  // all of one step have gone on from one, some steps later
}

// Pieces have trees of their own.
BOOST_AUTO_TEST_CASE(pieces_share_no_past) {
  History history(3, 2);
  const auto step = [](double name) { return std::make_shared<const HistoryStep>(HistoryStep{{name}, {}}); };
  history.append_shared(step(-1));
  for (int64_t s = 0; s < 2; ++s) {
    std::vector<History::Column> columns;
    for (int64_t i = 0; i < 6; ++i) columns.push_back(step(static_cast<double>(10 * s + i)));
    history.append(columns);
  }
  history.select({0, 1, 3, 3, 5, 4});
  const std::vector<std::vector<double>> expected{
      {-1, -1, -1, -1, -1, -1}, {0, 1, 3, 3, 5, 4}, {10, 11, 13, 13, 15, 14}};
  for (int64_t s = 0; s < 3; ++s)
    for (int64_t i = 0; i < 6; ++i) BOOST_TEST(history.at(s, i).cells[0] == expected[s][i]);
  BOOST_TEST(history.places() == 3 + 2 * (2 + 1 + 2));
}

BOOST_AUTO_TEST_SUITE_END()
