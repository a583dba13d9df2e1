#include "data/corpus/score.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>
#include <sstream>
#include <utility>

#include "tensor/error.h"

namespace poph {
namespace {

using Words = std::vector<std::string>;

struct Note {
  int pitch, start, end, velocity;
};

Words words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  return {std::istream_iterator<std::string>(in), {}};
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == text.npos ? "" : std::string(text.substr(first, text.find_last_not_of(" \t\r") + 1 - first));
}

Words split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(separator, at), text.size());
    parts.push_back(trimmed(text.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

// Reads one score. Every complaint begins with file:line.
class ScoreReader {
 public:
  explicit ScoreReader(const std::string& file) { score_.file = file; }

  Score read(std::string_view all) {
    for (const auto& whole : split(all, '\n')) {
      ++line_;
      const auto text = trimmed(whole.starts_with('#') ? "" : whole.substr(0, whole.find(" #")));
      if (!text.empty()) read_line(text);
    }
    finish_block();
    for (const auto* name : {"title", "composer", "year", "key", "meter", "tempo", "voices"})
      check(score_.header.contains(name), "the header lacks '", name, ":'");
    check(score_.bars > 0, "no bars");
    read_order();
    return std::move(score_);
  }

 private:
  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    require(condition, score_.file, ":", line_, ": ", parts...);
  }

  int number(std::string_view text, int min, int max) const {
    int value = 0;
    const auto* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, value);
    const bool good = error == std::errc{} && end == last && value >= min && value <= max;
    check(good, "'", text, "' is not a whole number from ", min, " to ", max);
    return value;
  }

  std::pair<int, int> range(const std::string& text) const {  // "5-8" or "5"
    const auto ends = split(text, '-');
    check(ends.size() <= 2, "'", text, "' is not a range of bars");
    return {number(ends.front(), 0, 9999), number(ends.back(), 0, 9999)};
  }

  void read_line(const std::string& text) {
    if (text.starts_with("bars ")) return start_block(trimmed(text.substr(5)));
    const auto colon = text.find(':');
    check(colon != text.npos, "'", text, "' is neither 'bars A-B' nor 'name: ..'");
    const auto name = words_of(text.substr(0, colon));
    const auto value = trimmed(text.substr(colon + 1));
    check(!name.empty(), "no name before the colon");
    if (name.size() == 3 && name[0] == "figure") {
      voice(name[2]);
      figures_[name[1]][name[2]] = value;
    } else if (in_block_) {
      read_bars(name.front(), value);
    } else {
      read_header(name.front(), value);
    }
  }

  void read_header(const std::string& name, const std::string& value) {
    check(!value.empty(), "'", name, ":' has no value");
    static const Words names{"title", "composer", "year", "key", "meter", "tempo", "voices", "canon", "play", "note"};
    check(std::find(names.begin(), names.end(), name) != names.end(), "unknown header '", name, ":'");
    if (name == "meter") {
      const auto parts = split(value, '/');
      check(parts.size() == 2, "a meter looks like 3/4");
      const int beat = number(parts[1], 1, 16);
      check(16 % beat == 0, "a meter's beat is a whole number of sixteenths");
      score_.steps_per_bar = number(parts[0], 1, 32) * 16 / beat;
    } else if (name == "tempo") {
      score_.tempo = number(words_of(value).front(), 20, 400);
    } else if (name == "voices") {
      for (const auto& word : words_of(value)) {
        const auto parts = split(word, '=');
        check(parts.size() == 2, "voices are declared as name=level");
        score_.voices[parts[0]].velocity = level(parts[1]);
      }
    } else if (name == "canon") {
      const auto words = words_of(value);
      check(words.size() == 3, "a canon reads: canon: FOLLOWER LEADER BARS");
      auto& follower = voice(words[0]);
      check(voice(words[1]).leader.empty() && words[0] != words[1], "'", words[1], "' itself follows");
      follower.leader = words[1];
      follower.delay = number(words[2], 1, 999);
    }
    score_.header[name] = value;
  }

  Voice& voice(const std::string& name) {
    const auto found = score_.voices.find(name);
    check(found != score_.voices.end(), "no voice or figure '", name, "'");
    return found->second;
  }

  int level(const std::string& text) const {
    static const std::map<std::string, int> marks{{"ppp", 30}, {"pp", 40}, {"p", 52},   {"mp", 64},
                                                  {"mf", 76},  {"f", 90},  {"ff", 104}, {"fff", 116}};
    const auto found = marks.find(text);
    return found != marks.end() ? found->second : number(text, 1, 127);
  }

  void start_block(const std::string& text) {
    finish_block();
    const auto [first, last] = range(text);
    if (score_.bars == 0) first_ = first;
    check(first == first_ + score_.bars && first <= last, "bar ", first_ + score_.bars, " comes next, not '", text,
          "'");
    check(score_.steps_per_bar > 0, "'meter:' must come before the bars");
    last_ = last;
    in_block_ = true;
  }

  // A voice that a block leaves out rests; one that it names gives every bar.
  void finish_block() {
    if (!in_block_) return;
    const int bars = last_ - first_ + 1;
    for (auto& [name, voice] : score_.voices) {
      const auto given = static_cast<int>(voice.bars.size());
      check(given == score_.bars || given == bars, "voice '", name, "' has ", given - score_.bars, " of the ",
            bars - score_.bars, " bars before this line");
      voice.bars.resize(bars);
    }
    score_.bars = bars;
    in_block_ = false;
  }

  void read_bars(const std::string& name, const std::string& text) {
    const auto figure = figures_.find(name);
    for (const auto& bar : split(text, '|')) {
      if (figure == figures_.end()) {
        add_bar(name, bar, {});
        continue;
      }
      const auto arguments = words_of(bar);
      used_ = 0;
      for (const auto& [voice_name, pattern] : figure->second) add_bar(voice_name, pattern, arguments);
      check(used_ == std::ssize(arguments), "figure '", name, "' takes ", used_, " notes, not ", arguments.size());
    }
  }

  void add_bar(const std::string& name, const std::string& text, const Words& arguments) {
    auto& target = voice(name);
    const int number_of_bar = first_ + static_cast<int>(target.bars.size());
    check(target.leader.empty(), "voice '", name, "' follows '", target.leader, "' and has no bars of its own");
    check(number_of_bar <= last_, "voice '", name, "' has more bars than bars ", first_ + score_.bars, "-", last_);
    Bar bar;
    int length = 0;
    std::string spaced;  // a chord becomes one word: [C4 E4] -> [C4,E4]
    bool chord = false;
    for (const char c : text) {
      chord = c == '[' || (chord && c != ']');
      spaced += chord && c == ' ' ? ',' : c;
    }
    for (const auto& word : words_of(spaced)) {
      if (word.front() == '@')
        target.velocity = level(word.substr(1));
      else
        length += bar.emplace_back(strike(word, bar.empty() ? 0 : bar.back().steps, target.velocity, arguments)).steps;
    }
    check(length == score_.steps_per_bar, "bar ", number_of_bar, " of '", name, "' has ", length, " sixteenths, not ",
          score_.steps_per_bar);
    target.bars.push_back(std::move(bar));
  }

  Strike strike(std::string word, int steps, int velocity, const Words& arguments) {
    Strike result{{}, steps, velocity, word.ends_with('~'), line_};
    if (result.tied) word.pop_back();
    if (const auto colon = word.find(':'); colon != word.npos) {
      result.steps = number(word.substr(colon + 1), 1, 999);
      word.resize(colon);
    }
    check(result.steps > 0, "the first entry of a bar needs a duration: '", word, "'");
    if (word == "r") return result;
    if (word.starts_with('[') && word.ends_with(']')) word = word.substr(1, word.size() - 2);
    for (const auto& name : split(word, ',')) {
      if (name.empty()) continue;
      const bool argument = !arguments.empty() && std::isdigit(static_cast<unsigned char>(name.front()));
      const int index = argument ? number(name, 1, static_cast<int>(arguments.size())) : 0;
      used_ = std::max(used_, index);
      const int next = pitch(argument ? arguments[index - 1] : name);
      check(std::count(result.pitches.begin(), result.pitches.end(), next) == 0, "a chord has ", name, " twice");
      result.pitches.push_back(next);
    }
    check(!result.pitches.empty(), "an empty chord");
    return result;
  }

  int pitch(std::string_view name) const {                                // C4 = 60, Bb3 = 58, F##4 = 67
    static constexpr std::array<int, 7> semitones{9, 11, 0, 2, 4, 5, 7};  // A to G
    check(name.size() >= 2 && name[0] >= 'A' && name[0] <= 'G', "'", name, "' is not a pitch such as C4, Eb5 or F#3");
    int value = semitones[name[0] - 'A'];
    std::size_t at = 1;
    for (; at < name.size() && (name[at] == '#' || name[at] == 'b'); ++at) value += name[at] == '#' ? 1 : -1;
    return value + 12 * (number(name.substr(at), 0, 8) + 1);
  }

  void read_order() {
    const auto play = score_.header.find("play");
    const auto all = std::to_string(first_) + "-" + std::to_string(last_);
    for (const auto& part : words_of(play == score_.header.end() ? all : play->second)) {
      const auto [first, last] = range(part);
      check(first_ <= first && first <= last && last < first_ + score_.bars, "play: no bars ", part);
      for (int bar = first; bar <= last; ++bar) score_.order.push_back(bar - first_);
    }
  }

  Score score_;
  std::map<std::string, std::map<std::string, std::string>> figures_;  // name, voice, pattern
  int line_ = 0, first_ = 0, last_ = 0;
  int used_ = 0;  // the highest argument that a figure asked for
  bool in_block_ = false;
};

// A voice as notes: bars in playing order, ties joined.
void add_notes(const Score& score, const Voice& voice, std::vector<Note>& notes) {
  const auto& bars = (voice.leader.empty() ? voice : score.voices.at(voice.leader)).bars;
  std::map<int, std::size_t> held;  // pitches tied to the next entry: their notes
  int tie_line = 0, at = voice.delay * score.steps_per_bar;
  const auto complain_unless = [&](bool good, const char* what) {
    require(good, score.file, ":", tie_line, ": ", what);
  };
  for (int played = voice.delay; played < std::ssize(score.order); ++played, at = played * score.steps_per_bar) {
    for (const auto& strike : bars[score.order[played - voice.delay]]) {
      std::map<int, std::size_t> now;
      for (const int pitch : strike.pitches) {
        const auto tied = held.find(pitch);
        const auto index = tied == held.end() ? notes.size() : tied->second;
        if (tied == held.end()) notes.push_back({pitch, at, 0, strike.velocity});
        notes[index].end = at + strike.steps;
        now[pitch] = index;
      }
      const auto joins = [&](const auto& entry) { return now.contains(entry.first); };
      complain_unless(held.empty() || std::any_of(held.begin(), held.end(), joins),
                      "the next entry has no note of this tie");
      held = strike.tied ? std::move(now) : decltype(now){};
      tie_line = strike.line;
      at += strike.steps;
    }
    complain_unless(held.empty() || at == (played + 1) * score.steps_per_bar, "a tie into an empty bar");
  }
  complain_unless(held.empty(), "a tie at the end");
}

}  // namespace

Score read_score(const std::string& file, std::string_view text) { return ScoreReader(file).read(text); }

// Where voices share a pitch they share a key, as on a piano: a later note strikes it again with its own velocity, and
// the key stays down until the last of them ends. So a velocity never changes within a note.
Roll roll_of(const Score& score) {
  std::vector<Note> notes;
  for (const auto& [name, voice] : score.voices) add_notes(score, voice, notes);
  std::sort(notes.begin(), notes.end(), [](const Note& a, const Note& b) { return a.start < b.start; });
  constexpr int pitches = 128;
  const auto steps = static_cast<int>(score.order.size()) * score.steps_per_bar;
  std::vector<std::array<Cell, pitches>> cells(steps, std::array<Cell, pitches>{});
  std::array<int, pitches> down{}, struck{};  // a key is down before step `down`; it was struck last at `struck`
  for (const auto& note : notes) {
    const bool again = struck[note.pitch] == note.start && down[note.pitch] > note.start;
    const int velocity =
        again ? std::max<int>(note.velocity, cells[note.start][note.pitch] & velocity_bits) : note.velocity;
    const bool sounded = note.start > 0 && (cells[note.start - 1][note.pitch] & velocity_bits) > 0;
    down[note.pitch] = std::max(down[note.pitch], note.end);
    struck[note.pitch] = note.start;
    for (int step = note.start; step < down[note.pitch]; ++step) cells[step][note.pitch] = static_cast<Cell>(velocity);
    if (sounded) cells[note.start][note.pitch] |= replay_bit;
  }
  while (!cells.empty() && cells.back() == std::array<Cell, pitches>{}) cells.pop_back();
  Roll roll(0, pitches);
  for (const auto& step : cells) roll.append(step);
  const std::optional<Meter> meter = meter_of(score.header.at("meter"));
  require(meter.has_value(), score.file, ": no meter of a MIDI file");
  if (*meter != Meter{}) roll.set_meters({{0, *meter}});
  return roll;
}

}  // namespace poph
