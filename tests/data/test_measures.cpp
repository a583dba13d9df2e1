#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/measures/measures.h"
#include "experiments/compose/sample_measures.h"
#include "experiments/train/figures.h"
#include "nn/losses.h"
#include "poph_paths.h"
#include "tests/support/models.h"
#include "tests/support/rolls.h"

// Against muspy 0.5.0 and music21's key profiles: tests/golden/measures_with_muspy.py made the numbers.
using namespace poph;
using namespace poph::test;
using nlohmann::json;

namespace {

json golden() { return json::parse(std::ifstream(POPH_SOURCE_ROOT "/tests/golden/measures.json")); }

double number(const json& x) { return x.is_null() ? std::nan("") : x.get<double>(); }

bool same(double a, double b) { return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) < 1e-12; }

Roll read_piece(const std::string& name) {
  return decode(read_midi_file(POPH_CORPUS "/" + name),
                {.lowest_note = 0, .notes = 128, .file_meter = false});  // muspy's bars
}

std::vector<Played> notes_of(const json& notes) {
  std::vector<Played> played;
  for (const json& note : notes) played.push_back({note[0], note[1], note[2]});
  return played;
}

void check_against(const json& expected, const Roll& roll, const std::string& name) {
  const Measures found = measure(roll, 4);
  int64_t compared = 0;
  each_measure(found, [&](const char* measure, double x) {
    if (!expected["measures"].contains(measure)) return;
    const double want = number(expected["measures"][measure]);
    BOOST_TEST(same(x, want), name << ": " << measure << " is " << x << ", expected " << want);
    ++compared;
  });
  BOOST_TEST(compared == 12);
  const PitchClasses classes = tonality(roll).pitch_classes;
  for (int key = 0; key < 24; ++key) {
    const double want = number(expected["measures"]["in_scale"][key]);
    BOOST_TEST(same(in_scale(classes, key), want), name << ": in the scale of " << key_name(key));
    if (key == found.keys[0].key) BOOST_TEST(same(found.pitch_in_scale_rate, want));
  }
  for (size_t i = 0; i < key_profiles.size(); ++i) {
    std::vector<double> r;
    for (const json& one : expected["keys"][key_profiles[i].name]) r.push_back(number(one));
    const KeyFit& fit = found.keys[i];
    if (std::isnan(r[0])) {
      BOOST_TEST((fit.key == -1 && std::isnan(fit.r) && std::isnan(fit.margin)));
      continue;
    }
    std::vector<double> sorted = r;
    std::sort(sorted.rbegin(), sorted.rend());
    BOOST_TEST(same(fit.r, sorted[0]),
               name << ": " << key_profiles[i].name << ": r is " << fit.r << ", expected " << sorted[0]);
    BOOST_TEST(same(fit.margin, sorted[0] - sorted[1]));
    if (sorted[0] - sorted[1] > 1e-9) BOOST_TEST(same(r[fit.key], sorted[0]));
  }
}

// The differentiable loss of certain predictions.
double harmony_loss(const Roll& roll, const HarmonySettings& settings) {
  ModelSettings model;
  model.lowest_note = roll.lowest_note();
  model.notes = roll.notes();
  model.channels = 1;
  LossSettings loss;
  loss.harmony = settings;
  Tensor logits = Tensor::zeros({roll.steps(), 1, roll.notes(), 1}, Dtype::f64);
  std::vector<double> play(roll.steps() * roll.notes());
  roll.unpack(0, roll.steps(), 1, 0, play.data(), roll.notes());
  for (double& x : play) x = x > 0 ? 50 : -50;
  logits = Tensor::from(play, logits.shape(), Dtype::f64);
  return LossFunction(loss, model, Dtype::f64, Device::cpu).harmony(Var(logits)).value().item();
}

// As run.json has it.
json written(const MeasuresRecord& measures) {
  RunRecord record;
  record.measures = measures;
  return json::parse(run_record_text(record))["measures"];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(measures)

BOOST_AUTO_TEST_CASE(notes_of_a_roll) {
  const std::vector<Played> notes = {{0, 4, 60}, {2, 3, 64}, {4, 2, 60}, {6, 1, 127}, {8, 1, 0}};
  const std::vector<NoteSpan> found = note_spans(roll_of(notes));
  BOOST_REQUIRE(found.size() == notes.size());
  for (size_t i = 0; i < notes.size(); ++i) {
    BOOST_TEST(found[i].onset == notes[i].onset);
    BOOST_TEST(found[i].end == notes[i].onset + notes[i].duration);
    BOOST_TEST(found[i].pitch == notes[i].pitch);
  }
  const Roll roll = chance_roll(5, 20, 10, 90, 0.3);
  for (int64_t step : {-1, 0, 7, 19, 20})
    for (int64_t note = 0; note < 90; ++note)
      BOOST_TEST((roll.play_bits(step)[note / 64] >> note % 64 & 1) == (roll.cell(step, note) != 0));
}

BOOST_AUTO_TEST_CASE(muspy_on_bundled_pieces) {
  const json all = golden();
  BOOST_TEST(all["pieces"].size() == 5);
  for (const json& piece : all["pieces"]) check_against(piece, read_piece(piece["file"]), piece["file"]);
}

BOOST_AUTO_TEST_CASE(muspy_and_its_quirks) {
  int64_t cases = 0;
  const json all = golden();
  for (const auto& [name, expected] : all.items()) {
    if (!expected.is_object()) continue;
    check_against(expected, roll_of(notes_of(expected["notes"])), name);
    check_against(expected, roll_of(notes_of(expected["notes"]), 400), name + ", and silence behind");
    ++cases;
  }
  BOOST_TEST(cases == 13);
}

BOOST_AUTO_TEST_CASE(other_grids) {  // the same music at eight steps a quarter
  std::vector<Played> notes = {{0, 4, 60}, {8, 8, 64}, {40, 5, 67}, {48, 16, 60}}, finer;
  for (const Played& note : notes) finer.push_back({2 * note.onset, 2 * note.duration, note.pitch});
  const Measures a = measure(roll_of(notes), 4), b = measure(roll_of(finer), 8);
  BOOST_TEST(a.empty_beat_rate == b.empty_beat_rate);
  BOOST_TEST(a.empty_bar_rate == b.empty_bar_rate);
  BOOST_TEST(a.polyphony_rate == b.polyphony_rate);
  BOOST_TEST(1 - a.groove_consistency == 2 * (1 - b.groove_consistency), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(a.disharmony_bar == b.disharmony_bar, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(disharmony_is_the_harmony_loss_of_the_notes) {
  const Roll roll = chance_roll(3, 32, 36, 48, 0.12);
  for (HarmonyInput input : {HarmonyInput::softmax, HarmonyInput::raw})
    for (HarmonyMatrix matrix : {HarmonyMatrix::diatonic, HarmonyMatrix::triad, HarmonyMatrix::krumhansl})
      for (int64_t span : {1, 4, 16})
        for (HarmonyReduction reduction : {HarmonyReduction::mean, HarmonyReduction::mean_square}) {
          const HarmonySettings settings{input, matrix, span, reduction};
          BOOST_TEST(disharmony(roll, settings) == harmony_loss(roll, settings), boost::test_tools::tolerance(1e-9));
        }
  BOOST_TEST(measure(roll, 4).disharmony == harmony_loss(roll, HarmonySettings{}), boost::test_tools::tolerance(1e-9));
  // A C major chord for a bar, then in the next one C, C#, D and Eb held: two of them fit no common key with the
  // others.
  const Roll cluster =
      roll_of({{0, 16, 60}, {0, 16, 64}, {0, 16, 67}, {16, 16, 60}, {16, 16, 61}, {16, 16, 62}, {16, 16, 63}});
  BOOST_TEST(measure(cluster, 4).disharmony_bar == 0.5);  // none and one outside
  // The rest of a span: four steps of C#, heard against nothing.
  const Roll rest = roll_of({{0, 16, 60}, {0, 16, 62}, {0, 16, 64}, {16, 4, 61}});
  BOOST_TEST(disharmony(rest, {.input = HarmonyInput::raw, .span = 16}) == 0);
  BOOST_TEST(disharmony(rest, {.input = HarmonyInput::raw, .span = 20}) == 0.2, boost::test_tools::tolerance(1e-12));
  // silence, then a span of four steps
  const Roll late = roll_of({{16, 4, 60}, {16, 4, 61}, {16, 4, 62}, {16, 4, 63}});
  BOOST_TEST(disharmony(late, {.input = HarmonyInput::raw, .span = 16}) == 0.5, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(std::isnan(disharmony(Roll(60, 12), {})));
}

BOOST_AUTO_TEST_CASE(means_leave_out_what_cannot_be_counted) {
  const std::vector<Measures> pieces = {
      measure(roll_of({{0, 32, 60}, {0, 8, 64}}), 4), measure(roll_of({{0, 4, 61}}), 4),
      measure(roll_of({{0, 2, 61}, {2, 2, 68}, {4, 9, 61}}), 4), measure(Roll(0, 128), 4)};
  const Measures all = mean_measures(pieces);
  BOOST_TEST(all.notes == 1.5);
  BOOST_TEST(all.groove_consistency == pieces[0].groove_consistency);
  BOOST_TEST(all.polyphony == (1.25 + 1 + 1) / 3);
  BOOST_TEST(all.keys[0].key == pieces[1].keys[0].key);  // that of two of the four
  BOOST_TEST(key_name(all.keys[0].key) == "C# major");
  BOOST_TEST(all.keys[0].r == (pieces[0].keys[0].r + pieces[1].keys[0].r + pieces[2].keys[0].r) / 3,
             boost::test_tools::tolerance(1e-12));
  BOOST_TEST(std::isnan(mean_measures({}).polyphony));
  BOOST_TEST(mean_measures({}).keys[0].key == -1);
}

BOOST_AUTO_TEST_CASE(of_a_run) {
  const auto shared = [](Roll roll) { return std::make_shared<const Roll>(std::move(roll)); };
  const auto known = shared(chance_roll(1, 64, 60, 12, 0.3));
  Corpus corpus;
  corpus.train = {{"other", shared(chance_roll(2, 90, 60, 12, 0.3))}, {"known", known}};
  corpus.valid = {{"new", shared(chance_roll(3, 140, 60, 12, 0.3))}};
  const MeasuresRecord measured = measure_samples({known, shared(chance_roll(4, 64, 60, 12, 0.3))}, corpus, Config{});
  const json found = written(measured);
  BOOST_TEST(found["samples"]["pieces"] == 2);
  BOOST_TEST(found["train"]["pieces"] == 2);
  BOOST_TEST(found["train"]["polyphony"].get<double>() ==
             (measure(*corpus.train[0].roll, 4).polyphony + measure(*known, 4).polyphony) / 2);
  BOOST_TEST(found["pieces"][0]["polyphony"] == measure(*known, 4).polyphony);
  BOOST_TEST(found["pieces"][1]["file"] == "samples/piece_2.mid");
  BOOST_TEST(found["pieces"][0]["copied"]["longest"] == 64);
  BOOST_TEST(found["pieces"][0]["copied"]["of"] == "known");
  BOOST_TEST(found["pieces"][0]["copied"]["share"] == 1.0);
  BOOST_TEST(found["pieces"][1]["copied"]["share"] == 0.0);
  BOOST_TEST(found["copied"]["piece"] == "known");
  BOOST_TEST(std::abs(found["copied"]["share"].get<double>() - 0.5) < 0.05);
  BOOST_TEST(found["copied"]["valid"]["share"] == 0.0);
  BOOST_TEST(found["overlap"]["samples"] == 2);
  BOOST_TEST(found["overlap"]["valid"] == 2);             // 64 and 64 steps; 12 are less than half
  BOOST_TEST(found["overlap"]["pitch_count"].is_null());  // one pair has no spread
  corpus.valid.clear();
  const MeasuresRecord of_silence = measure_samples({shared(Roll(60, 12))}, corpus, Config{});
  const json alone = written(of_silence);
  BOOST_TEST(!alone.contains("valid"));
  BOOST_TEST(!alone.contains("overlap"));
  BOOST_TEST(alone["samples"]["polyphony"].is_null());
  BOOST_TEST(alone["samples"]["keys"]["simple"]["key"].is_null());
  BOOST_TEST(alone["copied"]["piece"].is_null());
  BOOST_TEST(alone["copied"]["share"].is_null());
  for (const MeasuresRecord& one : {measured, of_silence})
    for (const std::string& line : measures_text(one)) BOOST_TEST(line.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(figures_on_88_keys_add_the_keys_outside) {
  const ScoredRange range{60, 12, 4, 1};
  const std::vector<Piece> pieces = {
      {"a", std::make_shared<const Roll>(chance_roll(1, 5, 60, 12, 0.3)), OutsideKeys{}},
      {"b", std::make_shared<const Roll>(chance_roll(2, 1, 60, 12, 0.3)), OutsideKeys{{30, true, 1}}}};
  const std::vector<PieceScore> scores = {{5, -20, -6}, {1, -3, -3}};
  KeyCounts counts;
  counts.frames = 9;
  counts.sounding[30 - 21] = 4;
  const double often = 4.5 / 10, seldom = 0.5 / 10, off = 75 * std::log(1 - seldom);  // 76 keys are outside
  const double a = 5 * (off + std::log(1 - often)), b = off + std::log(often);
  const FiguresRecord found = figures(scores, pieces, range, counts);
  const auto near = [](double x, double y) { return std::abs(x - y) < 1e-12 * std::abs(y); };
  BOOST_TEST(found.nats_per_step == -23.0 / 6);
  BOOST_TEST(near(*found.nats_per_step_88_keys, (-23 + a + b) / 6));
  BOOST_TEST(near(*found.nats_per_step_without_first_88_keys, (-14 + a * 4 / 5) / 4));
  BOOST_TEST(near(*found.nats_per_step_mean_of_pieces_88_keys, ((-20 + a) / 5 - 3 + b) / 2));
  BOOST_TEST(near(*found.nats_per_quarter_88_keys, (-23 + a + b) / 6 * 4));
  BOOST_TEST(why_not_88_keys(pieces, range, counts) == "");
  BOOST_TEST(!figures(scores, pieces, range, {}).nats_per_step_88_keys);
  BOOST_TEST(why_not_88_keys(pieces, range, {}).starts_with("no figure on 88 keys: the checkpoint lacks the counts"));
  BOOST_TEST(!figures(scores, pieces, {60, 12, 4, 3}, counts).nats_per_step_88_keys);
  BOOST_TEST(why_not_88_keys(pieces, {0, 12, 4, 1}, counts) == "no figure on 88 keys: 0 to 11 are not keys 21 to 108");
}

BOOST_AUTO_TEST_CASE(likelihoods_are_bounded) {
  Config config;
  config.model = tiny_settings({lstm_block(BlockKind::lstm_time, 1, 4), lstm_block(BlockKind::lstm_notes, 1, 4)}, 12);
  Corpus corpus;
  for (int64_t steps : {40, 70, 30})
    corpus.valid.push_back({"piece", std::make_shared<const Roll>(chance_roll(1, steps, 60, 12, 0.3))});
  Biaxial model(config.model, 1, Dtype::f64, Device::cpu);
  const auto scored = [&](int64_t max_steps) { return *likelihoods(model, corpus, config.data, max_steps); };
  const LikelihoodRecords whole = scored(1000), part = scored(75);
  BOOST_TEST(*whole.valid->pieces == 3);
  BOOST_TEST(whole.valid->steps == 140);
  BOOST_TEST(whole.valid->nats_per_step == log_likelihood(model, corpus.valid, 4)->nats_per_step);
  BOOST_TEST(!whole.test);
  BOOST_TEST(*part.valid->pieces == 2);
  BOOST_TEST(*part.valid->pieces_left_out == 1);
  BOOST_TEST(part.valid->steps == 70);
  BOOST_TEST(scored(20).empty());
  BOOST_TEST(!likelihoods(model, corpus, config.data, 1000, [](int64_t) { return true; }));
  BOOST_TEST(likelihoods_text(part).at(0).starts_with("log-likelihood of 2 held-out pieces (1 left out): -"));
  BOOST_TEST(!whole.valid->counting);  // there is nothing to count
  BOOST_TEST(!whole.valid->nats_per_step_88_keys);
  corpus.train = corpus.valid;
  const LikelihoodRecord counted = *scored(1000).valid;
  const auto plain = CountingModels::counted(corpus.train)->scores(corpus.valid);
  BOOST_TEST(counted.counting->match_table->nats_per_step == averages(plain->at(2), 4).nats_per_step);
  // An untrained network gives each cell about one half; its own pieces are easy to count.
  BOOST_TEST(counted.worse->starts_with("worse than counting: frequency of each key has -"));
  const std::vector<std::string> lines = likelihoods_text({counted, {}});
  BOOST_TEST(lines.at(0).ends_with("a quarter note (notes 36 to 83, 4 steps a quarter note)"));
  BOOST_TEST(lines.at(1).starts_with("  counting alone has the same four: frequency of each key -"));
  BOOST_TEST(lines.at(2) == "  the network is " + *counted.worse);
  config.model.blocks.insert(config.model.blocks.begin(), attention_block(BlockKind::attention_time_notes));
  Biaxial quadratic(config.model, 1, Dtype::f64, Device::cpu);
  corpus.test = {{"long", std::make_shared<const Roll>(chance_roll(1, 300, 60, 12, 0.3))}};
  BOOST_TEST(likelihoods(quadratic, corpus, config.data, 351)->test.has_value());  // 300 * 300 / 256
  BOOST_TEST(!likelihoods(quadratic, corpus, config.data, 350)->test);
}

BOOST_AUTO_TEST_SUITE_END()
