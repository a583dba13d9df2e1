// What composing is asked for, and what it takes of memory.
#include <algorithm>

#include "experiments/compose/composer.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/memory.h"

namespace poph {
namespace {

constexpr double bytes_to_match = 300;  // of a MatchFinder and its findings, for each step

}  // namespace

ComposeSettings checked(ComposeSettings settings) {
  require(settings.pieces > 0 && settings.steps >= 0 && settings.temperature > 0 && settings.context >= 0 &&
              settings.particles > 0 && (!settings.constraint || settings.constraint->most_notes >= 0),
          "compose: ", settings.pieces, " pieces of ", settings.steps, " steps at temperature ", settings.temperature,
          " with context ", settings.context,
          settings.particles == 1 ? "" : joined(" and ", settings.particles, " particles"));
  const int64_t primed = settings.prime && settings.keep_prime ? settings.prime->steps() : 0;
  require(settings.steps <= max_steps - primed, "compose: ", settings.steps, " steps after ", primed,
          " of the prime, expected at most ", max_steps, " together");
  settings.context = std::min(settings.context, settings.all_steps());
  const Constraint* constraint = settings.constraint;
  if (constraint && constraint->fixes_nothing()) constraint = settings.constraint = nullptr;
  if (!constraint) settings.particles = 1;  // more would all weigh the same
  for (int64_t step = 0; constraint && constraint->most_notes > 0 && step < constraint->steps(); ++step)
    require(constraint->given_notes(step) <= constraint->most_notes, "compose: ", constraint->given_notes(step),
            " notes are given in step ", step, ", and at most ", constraint->most_notes, " may sound");
  return settings;
}

double compose_bytes(const Biaxial& model, const ComposeSettings& given) {
  const ComposeSettings settings = checked(given);
  const auto columns = static_cast<double>(settings.pieces * settings.particles);
  const auto cells = columns * static_cast<double>(model.settings.notes);
  const auto steps = static_cast<double>(settings.all_steps()), context = static_cast<double>(settings.context);
  double widest = static_cast<double>(model.feature_width()), widths = widest, remembered = 0;
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    const auto width = static_cast<double>(outputs(model.blocks[i]));
    widest = std::max(widest, width);
    widths += width;
    if (model.settings.blocks[i].kind == BlockKind::attention_time_notes) {
      const BlockSettings& block = model.settings.blocks[i];
      remembered += 2 * static_cast<double>(block.heads * block.head_dim);  // keys and values
    }
  }
  const double watched = settings.watcher ? sizeof(float) : 0;
  const double notes = steps * cells * (static_cast<double>(model.settings.channels) * sizeof(double) + watched);
  const double copies = settings.particles > 1 ? 2 : 1;  // while particles are drawn anew
  const double finders = model.settings.match ? copies * steps * columns * bytes_to_match : 0;
  const double window = context * cells * widest;
  const double attention = copies * (context > 0 ? context : steps) * cells * remembered;
  const double work = 6 * std::max(cells, static_cast<double>(cells_composed_at_once)) * widths;
  return notes + finders + (window + attention + work) * sizeof(float);
}

void require_memory(const Biaxial& model, const ComposeSettings& settings) {
  const double needed = compose_bytes(model, settings), free = static_cast<double>(free_memory());
  const ComposeSettings used = checked(settings);
  require(model.device() != Device::cpu || needed <= free, "compose: ", used.pieces, " pieces of ",
          used.particles > 1 ? joined(used.particles, " particles and ") : "", used.steps, " steps with a context of ",
          used.context, " steps take ", human_bytes(needed), " of memory, and ", human_bytes(free),
          " are free: fewer pieces", used.particles > 1 ? ", particles" : "",
          " or bars, or a smaller context, take less");
}

}  // namespace poph
