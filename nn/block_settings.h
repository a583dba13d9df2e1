#pragma once
#include <iterator>
#include <string>

#include "nn/limits.h"
#include "tensor/error.h"

// The kinds of blocks a model can be made of (MODEL.md "Blocks"): names, settings with their defaults, and the keys of
// each kind in an experiment file. Plain values, without tensors: nn/blocks/block.h makes blocks of them.
namespace poph {

enum class BlockKind { lstm_time, lstm_notes, attention_notes, attention_time_notes };
enum class Norm { none, pre, post };
enum class Mask { automatic, none };

struct BlockSettings {
  BlockKind kind = BlockKind::lstm_time;
  int64_t layers = 2, units = 256;   // LSTMs
  int64_t heads = 4, head_dim = 64;  // attention, as all below
  bool residual = true, feed_forward = true, query_gate = false, scale = true;
  Norm norm = Norm::post;
  double dropout = 0.1;
  Mask mask = Mask::automatic;

  bool is_attention() const { return kind == BlockKind::attention_notes || kind == BlockKind::attention_time_notes; }
  // Whether a note sees later notes of its own step everywhere, also those that are not chosen yet.
  bool sees_later_notes() const { return is_attention() && mask == Mask::none; }
};

struct BlockKindInfo {
  const char* name;        // in an experiment file
  const char* short_name;  // in a sweep's labels: sa_lstm_lstm
  // It reads along time, each note by itself. The chosen notes enter the block after the first such one.
  bool only_along_time;
  BlockSettings defaults;
};

// THE list of kinds.
inline constexpr BlockKindInfo block_kinds[] = {
    {"lstm_time", "lstm", true, {.kind = BlockKind::lstm_time}},
    {"lstm_notes", "lstm", false, {.kind = BlockKind::lstm_notes, .units = 128}},
    {"attention_notes", "sa", false, {.kind = BlockKind::attention_notes}},
    {"attention_time_notes", "sa2d", false, {.kind = BlockKind::attention_time_notes}},
};

inline const BlockKindInfo& info_of(BlockKind kind) {
  for (const BlockKindInfo& info : block_kinds)
    if (info.defaults.kind == kind) return info;
  fail("block kind ", static_cast<int>(kind), " is not in block_kinds");
}

inline const Choices<BlockKind> block_kind_words = [] {
  Choices<BlockKind> words;
  for (const BlockKindInfo& info : block_kinds) words.emplace_back(info.name, info.defaults.kind);
  return words;
}();
inline const Choices<Norm> norms = {{"none", Norm::none}, {"pre", Norm::pre}, {"post", Norm::post}};
inline const Choices<Mask> masks = {{"auto", Mask::automatic}, {"none", Mask::none}};

// Calls the visitor with each key of a block: the kind first, then the keys of that kind. The visitors are those of
// experiments/config.
template <class Block, class Visitor>
void each_block_key(Block& block, Visitor& visit) {
  visit.choice("kind", block.kind, block_kind_words);
  switch (block.kind) {
    case BlockKind::lstm_time:
    case BlockKind::lstm_notes:
      visit.integer("layers", block.layers, 1, max_size);
      visit.integer("units", block.units, 1, max_size);
      break;
    case BlockKind::attention_notes:
    case BlockKind::attention_time_notes:
      visit.integer("heads", block.heads, 1, max_size);
      visit.integer("head_dim", block.head_dim, 1, max_size);
      visit.flag("residual", block.residual);
      visit.choice("norm", block.norm, norms);
      visit.flag("feed_forward", block.feed_forward);
      visit.flag("query_gate", block.query_gate);
      visit.flag("scale", block.scale);
      visit.real("dropout", block.dropout, RealRange{.at_least = 0, .below = 1});
      visit.choice("mask", block.mask, masks);
      break;
  }
}

}  // namespace poph
