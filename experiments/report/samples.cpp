#include "experiments/report/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>

#include "data/files/base64.h"
#include "data/files/file.h"
#include "data/files/text.h"
#include "data/measures/tonality.h"
#include "experiments/media/piano_roll_svg.h"
#include "experiments/media/synthesizer.h"
#include "experiments/report/table.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/run_folder.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

// Bytes of the page for pictures and MIDI, and for sound.
constexpr size_t picture_budget = 10'000'000, sound_budget = 16'000'000;

std::string data_uri(const char* type, std::string_view bytes) {
  return joined("data:", type, ";base64,", base64(bytes));
}

std::string file_name(const std::string& label) {
  std::string name;
  for (char c : label) name += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' ? c : '_';
  return name;
}

// The bytes that are left, and the pieces that could not be shown or heard.
struct Budget {
  size_t pictures = picture_budget, sound = sound_budget;
  int left_out = 0, silent = 0;
  std::string missing;  // why nothing can be heard at all
  std::optional<Synthesizer> synthesizer = find_synthesizer(missing);
  std::string failure;  // of a piece's sound
};

// The sound of a piece, stored in audio/ with the time of the MIDI file. Only an equal time says that it is of the same
// piece: clocks jump.
std::string sound_of(const fs::path& midi, Budget& budget) {
  if (!budget.synthesizer) return "";
  const fs::path folder = midi.parent_path().parent_path() / "audio", sound = folder / (midi.stem().string() + ".oga");
  try {
    std::error_code error;
    if (!fs::exists(sound, error) || fs::last_write_time(sound, error) != fs::last_write_time(midi, error)) {
      make_folder(folder.string());
      remove_temporaries(folder.string());
      render_audio(*budget.synthesizer, midi.string(), sound.string());
      fs::last_write_time(sound, fs::last_write_time(midi, error), error);
    }
    return read_file(sound.string());
  } catch (const Error& error) {
    budget.failure = error.what();
    return "";
  }
}

// The key, its correlation and margin, and what the piece shares with the training pieces, as far as the run has
// measured them.
std::string piece_text(const Run& run, size_t number, const std::string& key) {
  std::string text = key.empty() ? "silent" : key;
  if (const auto& condition = run.record.condition; condition && number <= condition->pieces.size())
    text += " · the condition: " + condition_text(condition->pieces[number - 1], condition->particles);
  if (!run.record.measures || number > run.record.measures->pieces.size()) return text;
  const PieceMeasures& piece = run.record.measures->pieces[number - 1];
  if (const KeyFit& fit = piece.measures.keys[0]; std::isfinite(fit.r))
    text += fmt::format(" (r {:.2f}, {:.2f} before the next key)", fit.r, fit.margin);
  if (!piece.copied) return text;
  text += fmt::format(" · longest run of steps shared with a training piece: {}", piece.copied->longest);
  if (piece.copied->longest > 0 && !piece.copied->of.empty()) text += " (" + piece.copied->of + ")";
  if (std::isfinite(piece.copied->share)) text += fmt::format(" · copied: {:.0f} %", 100 * piece.copied->share);
  return text;
}

std::string piece_html(const Configuration& configuration, const Run& run, const fs::path& midi, size_t number,
                       Budget& budget) {
  RollSettings settings = roll_settings(run.config->data);
  settings.file_meter = true;  // it was composed in generate.meter
  const Roll roll = decode(read_midi_file(midi.string()), settings);
  const std::string key = tonality(roll).key,
                    name = fmt::format("{}, seed {}, piece {}", configuration.label, run.seed, number);
  const std::string picture = data_uri("image/svg+xml", piano_roll_svg(roll, name + (key.empty() ? "" : ": " + key),
                                                                       run.config->data.steps_per_quarter));
  const std::string notes = data_uri("audio/midi", read_file(midi.string()));
  if (picture.size() + notes.size() > budget.pictures) {
    ++budget.left_out;
    return "";
  }
  budget.pictures -= picture.size() + notes.size();
  const double steps_per_second =
      run.config->generate.tempo / 60 * static_cast<double>(run.config->data.steps_per_quarter);
  std::string html = fmt::format(
      "<div class=\"piece\"><div class=\"roll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\" data-left=\"{1}\" "
      "data-speed=\"{2}\"><div>"
      "<img alt=\"Piano roll of {0}\" src=\"{3}\"><div class=\"playhead\"></div></div></div>\n<div class=\"player\">",
      escaped_html(name), picture_left, steps_per_second * picture_step, picture);
  const std::string sound = sound_of(midi, budget);
  if (!sound.empty()) {
    const std::string encoded = data_uri("audio/ogg", sound);
    if (encoded.size() <= budget.sound) {
      budget.sound -= encoded.size();
      html += "<audio controls preload=\"metadata\" src=\"" + encoded + "\"></audio>";
    } else {
      ++budget.silent;
    }
  }
  html +=
      fmt::format("<a download=\"{}-seed{}-piece{}.mid\" href=\"{}\">MIDI file</a><span>{}</span></div></div>\n",
                  file_name(configuration.label), run.seed, number, notes, escaped_html(piece_text(run, number, key)));
  return html;
}

std::string style_html(const Run& run) {
  return run.record.style
             ? "<p class=\"explained\">Composed in the style " + escaped_html(*run.record.style) + ".</p>\n"
             : "";
}

std::string condition_html(const Run& run) {
  if (!run.record.condition) return "";
  return "<p class=\"explained\">Composed under conditions: " + escaped_html(run.record.condition->text) +
         ". The MIDI files have the given notes in a track of their own. The log probability is how likely the model "
         "finds "
         "such a piece; particles of an effective size near 1 are too few.</p>\n";
}

std::string notes_html(const Budget& budget) {
  std::string html;
  if (!budget.missing.empty())
    html += "<p class=\"warning\">The pieces cannot be heard here: " + escaped_html(budget.missing) +
            ". Then <code>poph report FOLDER</code> again.</p>\n";
  if (!budget.failure.empty())
    html += "<p class=\"warning\">A piece could not be played: " + escaped_html(budget.failure) + "</p>\n";
  if (budget.left_out || budget.silent)
    html += fmt::format(
        "<p class=\"explained\">So that the page stays small, {} pieces are left out and {} more are shown without "
        "sound; they "
        "lie in the run folders.</p>\n",
        budget.left_out, budget.silent);
  return html;
}

}  // namespace

std::string samples_html(const RunSet& set) {
  Budget budget;
  std::vector<std::string> shown(set.configurations.size());
  bool more = true;
  for (size_t number = 1; more; ++number) {
    more = false;
    for (size_t i = 0; i < set.configurations.size(); ++i) {
      const auto runs = set.configurations[i].finished();
      if (runs.empty() || !runs.front()->config) continue;
      const fs::path midi = fs::path(runs.front()->path) / "samples" / fmt::format("piece_{}.mid", number);
      if (!fs::exists(midi)) continue;
      more = true;
      const auto warn = [&](const std::string& text) {
        shown[i] += "<p class=\"warning\">" + escaped_html(text) + "</p>\n";
      };
      try {
        shown[i] += piece_html(set.configurations[i], *runs.front(), midi, number, budget);
      } catch (const FileError& error) {  // it names the path
        warn(error.what());
      } catch (const Error& error) {
        warn(midi.string() + ": " + error.what());
      }
    }
  }
  std::string html;
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown[i].empty()) continue;
    const Configuration& one = set.configurations[i];
    if (set.configurations.size() > 1)
      html += fmt::format("<h3><i class=\"swatch s{}\"></i>{}</h3>\n", i % 10, escaped_html(one.label));
    if (one.finished().size() > 1)
      html += fmt::format(
          "<p class=\"explained\">The pieces of seed {}; those of its {} other runs lie in their folders.</p>\n",
          one.finished().front()->seed, one.finished().size() - 1);
    html += style_html(*one.finished().front()) + condition_html(*one.finished().front()) + shown[i];
  }
  if (html.empty()) return "<p>No run has composed yet.</p>\n";
  return "<p class=\"explained\">Time runs to the right, a strong line is a bar; the darker (on a dark page: the "
         "brighter) a "
         "note, the louder; an orange edge "
         "is a note struck again while it sounds.</p>\n" +
         notes_html(budget) + html;
}

}  // namespace poph
