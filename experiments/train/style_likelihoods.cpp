#include "experiments/train/style_likelihoods.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/files/text.h"
#include "experiments/config/styles.h"
#include "experiments/train/figures.h"

namespace poph {
namespace {

std::vector<Piece> as_mixture(std::vector<Piece> pieces, const std::vector<double>& mixture) {
  for (Piece& piece : pieces) piece.style = mixture;
  return pieces;
}

}  // namespace

int64_t most_steps_of_a_style(size_t styles) {
  const auto count = static_cast<int64_t>(styles);
  return 4 * max_likelihood_steps / (count * (count + 1));
}

std::optional<std::vector<StyleLikelihood>> style_likelihoods(const Biaxial& model, const std::vector<Piece>& pieces,
                                                              const std::vector<Style>& styles,
                                                              int64_t steps_per_quarter, int64_t most_steps,
                                                              const Interrupted& interrupted) {
  std::vector<StyleLikelihood> rows;
  for (size_t own = 0; own < styles.size(); ++own) {
    StyleLikelihood row;
    row.name = styles[own].name;
    std::vector<Piece> read;
    for (const Piece& piece : pieces) {
      if (Corpus::style_of(piece) != static_cast<int64_t>(own)) continue;
      const int64_t steps = piece.roll->steps();
      if (steps > most_steps - row.steps) {
        ++row.pieces_left_out;
        continue;
      }
      row.steps += steps;
      read.push_back(piece);
    }
    row.pieces = std::ssize(read);
    if (read.empty() && row.pieces_left_out == 0) continue;
    std::vector<std::vector<PieceScore>> scores;  // of each style, then of equal shares
    for (size_t as = 0; as <= styles.size() && !read.empty(); ++as) {
      std::vector<double> mixture = mixture_of({}, styles);
      for (size_t i = 0; i < styles.size() && as < styles.size(); ++i) mixture[i] = i == as ? 1 : 0;
      auto found = log_likelihood(model, as_mixture(read, mixture), steps_per_quarter, interrupted);
      if (!found) return std::nullopt;
      (as < styles.size() ? row.nats_per_step.emplace_back() : row.nats_per_step_equal) = found->nats_per_step;
      if (as < styles.size()) scores.push_back(std::move(found->pieces));
    }
    for (size_t piece = 0; piece < read.size(); ++piece)
      row.recognised += std::all_of(scores.begin(), scores.end(), [&](const auto& as) {
        return &as == &scores[own] || as[piece].all < scores[own][piece].all;
      });
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<std::string> style_likelihoods_text(const std::vector<StyleLikelihood>& rows,
                                                const std::vector<Style>& styles) {
  std::vector<std::string> lines;
  for (const StyleLikelihood& row : rows) {
    const std::string left_out = row.pieces_left_out ? fmt::format(", {} left out", row.pieces_left_out) : "";
    std::string text = fmt::format("pieces of {} ({}{}): ", printable(row.name), row.pieces, left_out);
    if (row.pieces == 0) {
      lines.push_back(text + "all are too long to be scored as every style");
      continue;
    }
    for (size_t as = 0; as < row.nats_per_step.size() && as < styles.size(); ++as)
      text +=
          fmt::format("{:.3f} {}as {}, ", row.nats_per_step[as], as ? "" : "nats a step ", printable(styles[as].name));
    lines.push_back(text + fmt::format("{:.3f} in equal shares; {} of {} likeliest as {}", row.nats_per_step_equal,
                                       row.recognised, row.pieces, row.pieces == 1 ? "its own" : "their own"));
  }
  return lines;
}

}  // namespace poph
