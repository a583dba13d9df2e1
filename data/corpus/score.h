#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/music/roll.h"

// The corpus as score texts; README.md describes the notation.
namespace poph {

// One entry of a voice: a note, a chord, or (no pitches) a rest.
struct Strike {
  std::vector<int> pitches;
  int steps = 0;  // sixteenths
  int velocity = 0;
  bool tied = false;  // pitches that the next entry has too sound on
  int line = 0;
};
using Bar = std::vector<Strike>;  // empty: a bar's rest

struct Voice {
  int velocity = 0;  // of what is read next
  std::vector<Bar> bars;
  std::string leader;  // a canon: this voice plays the leader's bars `delay` bars later
  int delay = 0;
};

struct Score {
  std::string file;
  std::map<std::string, std::string> header;
  std::map<std::string, Voice> voices;
  std::vector<int> order;  // the written bars as they are played, counted from 0
  int steps_per_bar = 0;
  int bars = 0;
  int tempo = 0;  // quarters a minute
};

// Reads a score's text. Every bar of every voice must fill the meter; every complaint begins with FILE:LINE.
Score read_score(const std::string& file, std::string_view text);

// The score as played, pitches 0 to 127.
Roll roll_of(const Score& score);

}  // namespace poph
