#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/matches.h"
#include "experiments/config/config.h"
#include "experiments/config/styles.h"
#include "experiments/train/likelihood.h"
#include "experiments/workspace/corpus_settings.h"
#include "nn/checkpoint.h"
#include "poph_paths.h"
#include "tests/support/support.h"

// tests/golden: ten experiments on three pieces, as an independent float64 implementation of the same mathematics has
// them.
namespace {

using namespace poph;
using namespace poph::test;
using nlohmann::json;

const std::string folder = POPH_SOURCE_ROOT "/tests/golden/";

const std::vector<std::string> cases{"lstm_lstm", "sa_lstm_lstm", "lstm_lstm_sa", "sa_lstm_lstm_sa", "sa_lstm_sa",
                                     "leaky",     "sa2d",         "play_only",    "match",           "styles"};

json read_json(const std::string& name) { return json::parse(std::ifstream(folder + name)); }

struct Scored {
  int64_t windows = 0, sounding_cells = 0, replays = 0, steps = 0;
  double volume_sum = 0;
  bool autoregressive = false;
  LossValues loss;
  LogLikelihood likelihood;
  std::map<std::string, Tensor> gradients;
};

Scored score(const std::string& name, Dtype dtype, Dtype activations) {
  const TensorFile file = read_safetensors(folder + name + ".safetensors");
  const Config config = parse_saved_config(file.metadata.at("config"), name);
  Biaxial model(config.model, 1, dtype, Device::cpu);
  model.activations = activations;
  assign_weights(file, name, model.parameter_tensors());
  CorpusSettings settings;
  const json read = read_json("map.json")[name];  // the file, and where there are any the words behind it
  settings.sources = {folder + (read.is_array() ? read[0] : read).get<std::string>()};
  settings.roll = roll_settings(config.data);
  settings.channels = config.data.channels;
  settings.split = Split::none;
  Corpus corpus = load_corpus(settings);
  if (read.is_array()) {
    BOOST_TEST_REQUIRE(read[1].get<std::string>() == "--style");
    for (Piece& piece : corpus.train)
      piece.style = mixture_of(parse_style_words(read[2].get<std::string>()), config.data.styles);
  }
  if (config.model.match) find_matches(corpus, config.data.channels, 1);
  const Windows windows(corpus.train, config.data.window, config.data.stride, config.data.steps_per_quarter);
  std::vector<int64_t> which;
  for (int64_t i = 0; i < read_json(name + ".json")["windows_scored"].get<int64_t>(); ++i) which.push_back(i);

  const Roll& roll = *corpus.train[0].roll;
  Scored scored{windows.count(),
                roll.sounding_cells(),
                roll.replays(),
                roll.steps(),
                roll.volume_sum(),
                model.autoregressive(),
                {},
                {},
                {}};
  const LossFunction loss(config.loss, config.model, dtype, Device::cpu);
  scored.loss = *window_loss(model, loss, windows, which, static_cast<int64_t>(which.size()), true);
  model.each_parameter([&](const std::string& parameter, Var& var) { scored.gradients[parameter] = var.gradient(); });
  if (scored.autoregressive) scored.likelihood = *log_likelihood(model, corpus.train, config.data.steps_per_quarter);
  return scored;
}

double off(double found, double expected) { return std::abs(found - expected) / std::abs(expected); }

// The parts that the golden case has; a part that came later has no golden value.
void check_losses(const LossValues& found, const json& expected, double limit) {
  BOOST_TEST(expected.contains("total"));
  for (const LossPart& part : loss_parts) {
    if (part.whole_notes_only) BOOST_TEST(found[part].has_value() == expected.contains(part.name), part.name);
    if (expected.contains(part.name)) BOOST_TEST(off(found[part].value(), expected[part.name]) < limit, part.name);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(golden)

BOOST_DATA_TEST_CASE(agrees, boost::unit_test::data::make(cases), name) {
  const json expected = read_json(name + ".json"), loss = expected["loss"];
  const TensorFile gradients = read_safetensors(folder + name + ".gradients.safetensors");
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const double limit = dtype == Dtype::f64 ? 1e-12 : 1e-5, gradient_limit = dtype == Dtype::f64 ? 1e-11 : 1e-4;
    // Where all but cancels, as in the weights of attention's scores, what rounds is the size of what cancels: a
    // gradient in f32 may be off by a rounding of all gradients together.
    double whole = 0;
    for (const auto& [_, gradient] : gradients.tensors) whole = std::hypot(whole, norm(gradient.values()));
    const double rounding = dtype == Dtype::f64 ? 0 : whole * std::numeric_limits<float>::epsilon();
    const Scored found = [&] {
      const Threads threads(1);
      return score(name, dtype, dtype);
    }();
    BOOST_TEST_CONTEXT(dtype) {
      BOOST_TEST(found.steps == expected["steps"].get<int64_t>());
      BOOST_TEST(found.sounding_cells == expected["sounding_cells"].get<int64_t>());
      BOOST_TEST(found.windows == expected["windows"].get<int64_t>());
      BOOST_TEST(found.autoregressive == expected["autoregressive"].get<bool>());
      check_losses(found.loss, loss, limit);
      if (found.loss[Loss::replay]) {
        BOOST_TEST(found.replays == expected["replays"].get<int64_t>());
        BOOST_TEST(off(found.volume_sum, expected["volume_sum"]) < 1e-12);
      }
      if (found.autoregressive) {
        BOOST_TEST(off(found.likelihood.nats_per_step, expected["log_likelihood"]["nats_per_step"]) < limit);
        BOOST_TEST(found.likelihood.steps == expected["log_likelihood"]["steps"].get<int64_t>());
      }
      BOOST_TEST(found.gradients.size() == gradients.tensors.size());
      for (const auto& [parameter, gradient] : gradients.tensors)
        BOOST_TEST(relative_difference(found.gradients.at(parameter), gradient) <
                       std::max(gradient_limit, rounding / norm(gradient.values())),
                   parameter);
    }

    const Threads threads(2);
    const Scored again = score(name, dtype, dtype);
    BOOST_TEST(again.loss.total() == found.loss.total());
    if (found.autoregressive) BOOST_TEST(again.likelihood.nats_per_step == found.likelihood.nats_per_step);
    for (const auto& [parameter, gradient] : found.gradients)
      BOOST_TEST(same_bits(again.gradients.at(parameter), gradient), parameter);
  }
}

// A rounding to bf16 is off by 2^-9 = 0.002 at most. Through all layers that comes to at most 0.006 of a loss and 0.026
// of a gradient here (measured, sa_lstm_sa).
BOOST_DATA_TEST_CASE(agrees_in_bf16, boost::unit_test::data::make(cases), name) {
  const json loss = read_json(name + ".json")["loss"];
  const Threads threads(2);
  const Scored found = score(name, Dtype::f32, Dtype::bf16);
  const double limit = 1e-2, gradient_limit = 5e-2;
  check_losses(found.loss, loss, limit);
  for (const auto& [parameter, gradient] : read_safetensors(folder + name + ".gradients.safetensors").tensors) {
    BOOST_TEST(found.gradients.at(parameter).dtype() == Dtype::f32, parameter);
    BOOST_TEST(relative_difference(found.gradients.at(parameter), gradient) < gradient_limit, parameter);
  }
}

// The mean over windows is the same however they are cut into batches, gradients too; an interruption gives nothing.
BOOST_AUTO_TEST_CASE(windows_are_weighed_equally_in_uneven_batches) {
  const TensorFile file = read_safetensors(folder + "sa_lstm_lstm.safetensors");
  const Config config = parse_saved_config(file.metadata.at("config"), "sa_lstm_lstm");
  CorpusSettings settings;
  settings.sources = {folder + "fugue_16_g_minor.mid"};
  settings.roll = roll_settings(config.data);
  settings.split = Split::none;
  const Windows windows(load_corpus(settings).train, config.data.window, config.data.stride,
                        config.data.steps_per_quarter);
  const std::vector<int64_t> which{3, 0, 7, 20, 11, 5, 9};
  const LossFunction loss(config.loss, config.model, Dtype::f64, Device::cpu);
  const auto gradient = [&](int64_t batch) {
    Biaxial model(config.model, 1, Dtype::f64, Device::cpu);
    assign_weights(file, "sa_lstm_lstm", model.parameter_tensors());
    const LossValues values = *window_loss(model, loss, windows, which, batch, true);
    return std::pair{values, model.note_head.weight.gradient()};
  };
  const auto [together, expected] = gradient(7);
  const auto [apart, found] = gradient(3);
  BOOST_TEST(off(apart.total(), together.total()) < 1e-13);
  BOOST_TEST(off(*apart[Loss::replay], *together[Loss::replay]) < 1e-13);
  BOOST_TEST(relative_difference(found, expected) < 1e-13);

  Biaxial model(config.model, 1, Dtype::f64, Device::cpu);
  int asked = 0;
  BOOST_TEST(!window_loss(model, loss, windows, which, 3, false, [&](int64_t) { return ++asked == 2; }).has_value());
  BOOST_TEST(asked == 2);
  BOOST_TEST(message_of([&] { window_loss(model, loss, windows, {}, 3, false); }) ==
             "evaluate: there are no windows to score");
}

BOOST_AUTO_TEST_SUITE_END()
