#include "experiments/play/known_music.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/corpus_settings.h"

namespace poph {

Copied KnownMusic::copied(const Roll& piece) {
  if (!corpus_) {
    Config config = config_;
    const std::vector<std::string> sources = config.music_paths();
    const bool own = !sources.empty() && std::all_of(sources.begin(), sources.end(), [](const std::string& path) {
      std::error_code ignored;
      return std::filesystem::exists(path, ignored);
    });
    if (!own) {
      config.data.styles.clear();
      config.data.source = {bundled_corpus()};
    }
    corpus_ = load_corpus(corpus_settings(config, 0));
    const bool bundled = !own || sources == std::vector{bundled_corpus()};
    name_ = bundled ? "the bundled pieces" : fmt::format("the pieces in {}", fmt::join(sources, ", "));
    if (!own) std::move(corpus_->valid.begin(), corpus_->valid.end(), std::back_inserter(corpus_->train));
  }
  const int64_t bar = bar_steps(config_.generate_meter(), config_.data.steps_per_quarter);
  const std::shared_ptr<const Roll> one = std::make_shared<const Roll>(piece);
  return together(find_copies(std::span(&one, 1), corpus_->train, bar, config_.data.transpose));
}

}  // namespace poph
