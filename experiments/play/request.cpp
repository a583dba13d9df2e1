#include "experiments/play/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/files/json_text.h"
#include "data/files/text.h"
#include "tensor/error.h"

namespace poph {
namespace {

using Json = nlohmann::json;

constexpr int max_depth = 3, max_text = 200, max_styles = 64;
constexpr int64_t max_seed = int64_t{1} << 53;  // a JavaScript number holds all up to here

Json parsed(std::string_view body) {
  require(std::ssize(body) <= max_play_body, "the request has ", body.size(), " bytes, expected at most ",
          max_play_body);
  bool deep = false;
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > max_depth) deep = true;
    return !deep;  // what lies deeper is left out
  };
  Json request = Json::parse(body, watch, false);
  require(!deep && request.is_object(), "the request is not a JSON object as the page sends it");
  return request;
}

int64_t whole(const Json& value, const char* name, int64_t min, int64_t max) {
  const bool fits =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() < uint64_t{1} << 62);
  require(fits && value.get<int64_t>() >= min && value.get<int64_t>() <= max, name, ": found ",
          printable(json_text(value)), ", expected a whole number from ", min, " to ", max);
  return value.get<int64_t>();
}

double real(const Json& value, const char* name, double above, double at_most) {
  require(value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > above &&
              value.get<double>() <= at_most,
          name, ": found ", printable(json_text(value)), ", expected a number above ", above, " and at most ", at_most);
  return value.get<double>();
}

bool yes_or_no(const Json& value, const char* name) {
  require(value.is_boolean(), name, ": found ", printable(json_text(value)), ", expected true or false");
  return value.get<bool>();
}

std::string short_text(const Json& value, const char* name) {
  require(value.is_string() && value.get_ref<const std::string&>().size() <= max_text, name,
          ": expected a text of at most ", max_text, " bytes");
  const auto& text = value.get_ref<const std::string&>();
  require(std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }),
          name, ": found \"", printable(text), "\", expected no control characters");
  return text;
}

// Lists of `size` whole numbers.
void require_rows(const Json& value, const char* name, size_t size, int64_t most) {
  require(value.is_array() && std::ssize(value) <= most, name, ": expected a list of at most ", most);
  for (const Json& row : value)
    require(row.is_array() && row.size() == size, name, ": found ", printable(json_text(row)), ", expected a list of ",
            size, " numbers");
}

std::vector<DrawnNote> read_notes(const Json& rows) {
  require_rows(rows, "notes", 4, max_play_notes);
  std::vector<DrawnNote> notes;
  int64_t sounding = 0;
  for (const Json& row : rows) {
    DrawnNote note;
    note.pitch = whole(row[0], "a note's pitch", 0, 127);
    note.step = whole(row[1], "a note's step", 0, max_play_steps - 1);
    note.length = whole(row[2], "a note's length", 1, max_play_steps - note.step);
    note.velocity = whole(row[3], "a note's loudness", 1, 127);
    sounding += note.length;
    notes.push_back(note);
  }
  require(sounding <= max_play_sounding, "the notes sound for ", sounding, " steps together, expected at most ",
          max_play_sounding);
  return notes;
}

std::vector<MeterChange> read_meters(const Json& rows) {
  require_rows(rows, "meters", 3, max_play_bars);
  std::vector<MeterChange> meters;
  for (const Json& row : rows) {
    MeterChange change;
    change.step = whole(row[0], "a meter's step", 0, max_play_steps - 1);
    change.meter = {static_cast<int>(whole(row[1], "a meter", 1, 255)),
                    static_cast<int>(whole(row[2], "a meter", 1, 128))};
    require(is_meter(change.meter), "meters: found ", change.meter.numerator, "/", change.meter.denominator,
            ", expected a denominator of 1, 2, 4, 8, .. 128");
    require(meters.empty() || meters.back().step < change.step, "meters: expected each behind the one before");
    meters.push_back(change);
  }
  return meters;
}

std::vector<std::pair<std::string, double>> read_style(const Json& shares) {
  require(shares.is_object() && shares.size() <= max_styles, "style: expected at most ", max_styles,
          " names with their shares");
  std::vector<std::pair<std::string, double>> style;
  for (const auto& item : shares.items()) {
    const std::string name = short_text(Json(item.key()), "style");
    style.emplace_back(name, real(item.value(), "a style's share", 0, 1));
  }
  return style;
}

}  // namespace

PlayRequest parse_play_request(std::string_view body) {
  const Json found = parsed(body);
  PlayRequest request;
  for (const auto& item : found.items()) {
    const std::string& key = item.key();
    const Json& value = item.value();
    if (key == "notes")
      request.notes = read_notes(value);
    else if (key == "meters")
      request.meters = read_meters(value);
    else if (key == "melody")
      request.melody = yes_or_no(value, "melody");
    else if (key == "bass")
      request.bass = yes_or_no(value, "bass");
    else if (key == "before")
      request.before = yes_or_no(value, "before");
    else if (key == "keep_bars")
      request.keep_bars = short_text(value, "the bars that are kept");
    else if (key == "bars")
      request.bars = whole(value, "bars", 1, max_play_bars);
    else if (key == "most_notes")
      request.most_notes = whole(value, "the most notes at once", 0, 128);
    else if (key == "particles")
      request.particles = whole(value, "particles", 1, max_play_particles);
    else if (key == "seed")
      request.seed = whole(value, "seed", 0, max_seed);
    else if (key == "temperature")
      request.temperature = real(value, "temperature", 0, 100);
    else if (key == "tempo")
      request.tempo = real(value, "tempo", 9.999, 1000);
    else if (key == "scale")
      request.scale = short_text(value, "scale");
    else if (key == "style")
      request.style = read_style(value);
    else
      fail("the request has \"", printable(key), "\", which the page does not send");
  }
  return request;
}

std::string to_json_text(const PlayRequest& request) {
  Json notes = Json::array(), meters = Json::array(), style = Json::object();
  for (const DrawnNote& note : request.notes) notes.push_back({note.pitch, note.step, note.length, note.velocity});
  for (const MeterChange& change : request.meters)
    meters.push_back({change.step, change.meter.numerator, change.meter.denominator});
  for (const auto& [name, share] : request.style) style[name] = share;
  return json_text(Json{{"notes", notes},
                        {"meters", meters},
                        {"melody", request.melody},
                        {"bass", request.bass},
                        {"before", request.before},
                        {"keep_bars", request.keep_bars},
                        {"bars", request.bars},
                        {"most_notes", request.most_notes},
                        {"particles", request.particles},
                        {"seed", request.seed},
                        {"temperature", request.temperature},
                        {"tempo", request.tempo},
                        {"scale", request.scale},
                        {"style", style}});
}

Roll drawn_roll(const PlayRequest& request, int64_t lowest_note, int64_t notes) {
  int64_t steps = 0;
  for (const DrawnNote& note : request.notes) steps = std::max(steps, note.step + note.length);
  std::vector<Cell> cells(static_cast<size_t>(steps * notes));
  const auto at = [&](const DrawnNote& note, int64_t step) -> Cell& {
    return cells[static_cast<size_t>(step * notes + note.pitch - lowest_note)];
  };
  for (const DrawnNote& note : request.notes) {
    require(note.pitch >= lowest_note && note.pitch < lowest_note + notes, "a note has MIDI's pitch ", note.pitch,
            ", and the model plays from ", lowest_note, " to ", lowest_note + notes - 1);
    for (int64_t step = note.step; step < note.step + note.length; ++step)
      at(note, step) = std::max(at(note, step), static_cast<Cell>(note.velocity));
  }
  for (const DrawnNote& note : request.notes)
    if (note.step > 0 && (at(note, note.step - 1) & velocity_bits) != 0) at(note, note.step) |= replay_bit;
  Roll roll(lowest_note, notes);
  for (int64_t step = 0; step < steps; ++step)
    roll.append(std::span(cells).subspan(static_cast<size_t>(step * notes), static_cast<size_t>(notes)));
  roll.set_meters(request.meters);
  return roll;
}

std::vector<DrawnNote> drawn_notes(const Roll& roll) {
  std::vector<DrawnNote> notes;
  for (const NoteSpan& span : note_spans(roll))
    notes.push_back({span.pitch, span.onset, span.end - span.onset,
                     roll.cell(span.onset, span.pitch - roll.lowest_note()) & velocity_bits});
  return notes;
}

}  // namespace poph
