#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/sweep/sweep.h"
#include "experiments/workspace/checkpoints.h"
#include "poph_paths.h"
#include "tests/support/support.h"

// The sweeps in experiments/: that each loads, and is of the runs that it says.
namespace {

using namespace poph;

using Texts = std::vector<std::string>;

std::string shipped_sweep(const std::string& name) {
  return std::string(POPH_SOURCE_ROOT) + "/experiments/sweeps/" + name + ".toml";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(shipped)

BOOST_AUTO_TEST_CASE(shipped_sweeps) {
  const auto counts = [](const std::string& name) {
    const Sweep sweep = *load_sweep(shipped_sweep(name), {}, "");
    BOOST_TEST(sweep.seeds >= 6u, name);
    for (const SweepRun& run : sweep.runs)  // what is compared has no help that hides the difference
      BOOST_TEST((!run.config.model.match && !run.config.model.relative_classes), name + ": " + run.label);
    return std::pair(sweep.configurations, sweep.merged);
  };
  BOOST_TEST((counts("orderings") == std::pair<size_t, size_t>(8, 0)));
  BOOST_TEST((counts("losses") == std::pair<size_t, size_t>(23, 1)));
  BOOST_TEST((counts("attention") == std::pair<size_t, size_t>(24, 0)));
  BOOST_TEST(counts("quick").first >= 2u);
  Texts leaky;
  const Sweep orderings = *load_sweep(shipped_sweep("orderings"), {"sweep.seeds=[1]"}, "");
  for (const SweepRun& run : orderings.runs)
    if (!run.config.model.autoregressive()) leaky.push_back(run.label);
  BOOST_TEST(leaky == (Texts{"lstm_lstm_sa, mask none", "sa_lstm_lstm_sa, mask none", "sa_lstm_sa, mask none"}));
}

// A value that ever changes makes finished runs begin anew. It is from before the defaults became base.toml's, and the
// runs of before read music otherwise than those of today do: they are others.
BOOST_AUTO_TEST_CASE(an_id_of_before_is_that_of_before) {
  const std::string before = "lstm_lstm-seed1-e230dcff51";
  const Texts words = {"data.quantize=floor", "data.meter=4/4", "data.windows=staggered", "train.average=0"};
  BOOST_TEST(load_sweep(shipped_sweep("quick"), words, "")->runs[0].id == before);
  BOOST_TEST(load_sweep(shipped_sweep("quick"), {}, "")->runs[0].id != before);
}

// What makes their figures comparable with published ones: play alone, the likelihood for a loss, every epoch trained.
BOOST_AUTO_TEST_CASE(likelihood_experiments) {
  for (const auto& [name, seeds] :
       {std::pair{"jsb", 5}, std::pair{"piano_midi", 5}, std::pair{"nottingham", 3}, std::pair{"musedata", 3}}) {
    BOOST_TEST_CONTEXT(name) {
      const std::string file = std::string(POPH_SOURCE_ROOT) + "/experiments/likelihood/" + name + ".toml";
      const Sweep sweep = *load_sweep(file, {}, "");
      BOOST_TEST(sweep.runs.size() == static_cast<size_t>(seeds));
      for (const SweepRun& run : sweep.runs) {
        BOOST_TEST(run.config.data.channels == 1);
        BOOST_TEST(run.config.loss.sum_notes);
        BOOST_TEST(run.config.loss.weight[Loss::harmony] == 0.0);
        BOOST_TEST(run.config.model.match);
        BOOST_TEST(run.config.model.autoregressive());
        BOOST_TEST(run.config.train.patience == 0);
        BOOST_TEST(run.config.data.source.size() == 1u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_model_of_chorales_is_that_of_its_experiment) {
  const Config saved = read_model("chorales").config;
  Config written = load_config(POPH_SOURCE_ROOT "/experiments/likelihood/chorales.toml");
  BOOST_TEST(std::filesystem::path(written.data.source.at(0)).filename() ==
             std::filesystem::path(saved.data.source.at(0)).filename());
  written.data.source = saved.data.source;
  BOOST_TEST(to_toml(written) == to_toml(saved));
}

BOOST_AUTO_TEST_SUITE_END()
