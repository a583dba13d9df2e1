#include "data/measures/copies.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>

#include "data/files/hash.h"
#include "tensor/error.h"

namespace poph {
namespace {

using Chord = unsigned __int128;  // the notes that sound in a step, the lowest at bit 0

Chord chord_at(const Roll& roll, int64_t step) {
  const auto words = roll.play_bits(step);
  return Chord{words[1]} << 64 | words[0];
}

// A piece's step as training sees it moved by `shift` semitones.
Chord transposed(Chord chord, int64_t shift, int64_t notes) {
  if (std::abs(shift) >= notes) return 0;
  if (shift <= 0) return chord >> -shift;
  const Chord all = ~Chord{0} >> (128 - notes);
  return chord << shift & all;
}

struct ChordHash {
  size_t operator()(Chord chord) const {
    return combined(static_cast<uint64_t>(chord), static_cast<uint64_t>(chord >> 64));
  }
};

using Symbol = int32_t;
constexpr Symbol nowhere = -1;  // a chord that no sample has

struct Match {
  int64_t length = 0;
  size_t piece = 0;
};

// The automaton of every part of a text. A state stands for the parts that end at the same places: the longest of them
// has `length` symbols, the shortest one more than the state that `link` names, which has the next shorter ones.
class SuffixAutomaton {
 public:
  SuffixAutomaton() : states_(1) {}

  int32_t append(Symbol symbol) {  // the state of the whole text so far
    const int32_t added = add({states_[last_].length + 1, 0, {}, {}});
    int32_t at = last_;
    for (; at >= 0 && !states_[at].next.contains(symbol); at = states_[at].link) states_[at].next[symbol] = added;
    if (at >= 0) states_[added].link = with_length(at, symbol, states_[at].length + 1);
    return last_ = added;
  }

  // Goes through a piece's symbols and notes for each state the longest run that ends there.
  template <class NextSymbol>
  void stream(int64_t count, size_t piece, NextSymbol next_symbol) {
    int32_t at = 0;
    int64_t length = 0;
    for (int64_t i = 0; i < count; ++i) {
      const Symbol symbol = next_symbol(i);
      if (symbol == nowhere) {
        at = 0, length = 0;
        continue;
      }
      auto found = states_[at].next.find(symbol);
      while (found == states_[at].next.end() && at != 0) {
        at = states_[at].link;
        length = states_[at].length;
        found = states_[at].next.find(symbol);
      }
      if (found == states_[at].next.end()) continue;
      at = found->second;
      if (++length > states_[at].match.length) states_[at].match = {length, piece};
    }
  }

  // After the last piece: gives each state the longest run that ends where its parts end. A run that ends at a state
  // ends at the shorter parts of its links too; a state without a run of its own takes that of its link.
  void spread() {
    std::vector<int32_t> order(states_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return states_[a].length < states_[b].length; });
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      const State& state = states_[*at];
      if (state.match.length == 0 || state.link < 0) continue;
      State& shorter = states_[state.link];
      if (shorter.match.length < shorter.length) shorter.match = {shorter.length, state.match.piece};
    }
    for (int32_t at : order)
      if (states_[at].match.length == 0 && states_[at].link >= 0) states_[at].match = states_[states_[at].link].match;
  }

  const Match& match(int32_t state) const { return states_[state].match; }

 private:
  struct State {
    int64_t length = 0;
    int32_t link = -1;
    std::map<Symbol, int32_t> next;
    Match match;
  };

  int32_t add(State state) {
    states_.push_back(std::move(state));
    return static_cast<int32_t>(states_.size()) - 1;
  }

  // The state behind `at` and the symbol, split so that its longest part has `length` symbols.
  int32_t with_length(int32_t at, Symbol symbol, int64_t length) {
    const int32_t whole = states_[at].next[symbol];
    if (states_[whole].length == length) return whole;
    const int32_t part = add({length, states_[whole].link, states_[whole].next, {}});
    states_[whole].link = part;
    for (; at >= 0; at = states_[at].link) {
      const auto found = states_[at].next.find(symbol);
      if (found == states_[at].next.end() || found->second != whole) break;
      found->second = part;
    }
    return part;
  }

  std::vector<State> states_;
  int32_t last_ = 0;
};

// One sample: its steps' states in the automaton.
struct Sample {
  std::vector<int32_t> states;
  std::vector<bool> sounds;
};

Copied judge(const Sample& sample, const SuffixAutomaton& automaton, std::span<const Piece> pieces, int64_t bar_steps) {
  Copied result;
  const auto steps = std::ssize(sample.states);
  std::vector<int64_t> next_sound(steps + 1, steps);  // the first step from here on in which anything sounds
  for (int64_t step = steps - 1; step >= 0; --step)
    next_sound[step] = sample.sounds[step] ? step : next_sound[step + 1];
  std::vector<bool> copied(steps);
  for (int64_t end = 0; end < steps; ++end) {
    if (!sample.sounds[end]) continue;
    ++result.sounding;
    const Match& match = automaton.match(sample.states[end]);
    if (match.length == 0) continue;
    const int64_t first = next_sound[end + 1 - match.length], length = end + 1 - first;
    if (length > result.longest) {
      result.longest = length;
      result.of = pieces[match.piece].name;
    }
    if (length >= bar_steps)  // those before were marked with an earlier end, but for this run's beginning
      for (int64_t step = end; step >= first && !copied[step]; --step) copied[step] = true;
  }
  for (int64_t step = 0; step < steps; ++step) result.copied += copied[step] && sample.sounds[step];
  return result;
}

}  // namespace

double Copied::share() const {
  return sounding > 0 ? static_cast<double>(copied) / static_cast<double>(sounding) : std::nan("");
}

std::vector<Copied> find_copies(std::span<const std::shared_ptr<const Roll>> samples, std::span<const Piece> pieces,
                                int64_t bar_steps, int64_t max_shift) {
  SuffixAutomaton automaton;
  std::unordered_map<Chord, Symbol, ChordHash> symbols;
  std::vector<Sample> texts;
  for (const auto& sample : samples) {
    Sample text;
    for (int64_t step = 0; step < sample->steps(); ++step) {
      const Chord chord = chord_at(*sample, step);
      text.states.push_back(
          automaton.append(symbols.try_emplace(chord, static_cast<Symbol>(symbols.size())).first->second));
      text.sounds.push_back(chord != 0);
    }
    texts.push_back(std::move(text));
    // which no piece has: no run goes from one sample to the next
    automaton.append(nowhere - static_cast<Symbol>(texts.size()));
  }
  for (size_t i = 0; i < pieces.size() && !samples.empty(); ++i) {
    const Roll& roll = *pieces[i].roll;
    require(roll.lowest_note() == samples[0]->lowest_note() && roll.notes() == samples[0]->notes(),
            "copies: a piece of notes ", roll.lowest_note(), " and ", roll.notes() - 1, " above, expected ",
            samples[0]->lowest_note(), " and ", samples[0]->notes() - 1, " above as in the samples");
    for (int64_t shift = -max_shift; shift <= max_shift; ++shift)
      automaton.stream(roll.steps(), i, [&](int64_t step) {
        const auto found = symbols.find(transposed(chord_at(roll, step), shift, roll.notes()));
        return found == symbols.end() ? nowhere : found->second;
      });
  }
  automaton.spread();
  std::vector<Copied> results;
  for (const Sample& text : texts) results.push_back(judge(text, automaton, pieces, bar_steps));
  return results;
}

Copied together(std::span<const Copied> samples) {
  Copied all;
  for (const Copied& one : samples) {
    if (one.longest > all.longest) {
      all.longest = one.longest;
      all.of = one.of;
    }
    all.sounding += one.sounding;
    all.copied += one.copied;
  }
  return all;
}

}  // namespace poph
