#pragma once
#include <variant>

#include "nn/blocks/attention_block.h"
#include "nn/blocks/lstm_block.h"

// A block of any kind, and all that a model does with one. A new kind is an alternative of the variant and a case of
// make_block; its name and settings are a row of block_kinds (nn/block_settings.h).
namespace poph {

using Block = std::variant<LstmBlock, AttentionBlock>;

// The block at this place of the model's list, for inputs of this width.
inline Block make_block(Initializer& init, const ModelSettings& model, int64_t place, int64_t width) {
  const BlockSettings& settings = model.blocks[place];
  switch (settings.kind) {
    case BlockKind::lstm_time:
    case BlockKind::lstm_notes:
      return LstmBlock::make(init, settings, model.dropout, width, model.styles > 0 ? model.style_units : 0);
    case BlockKind::attention_notes:
    case BlockKind::attention_time_notes:
      return AttentionBlock::make(init, settings, model.masked(place), width);
  }
  fail("block kind ", static_cast<int>(settings.kind), " has no case in make_block");
}

inline int64_t outputs(const Block& block) {
  return std::visit([](const auto& one) { return one.outputs(); }, block);
}
inline bool carries_time(const Block& block) {
  return std::visit([](const auto& one) { return one.carries_time(); }, block);
}
inline std::string size_text(const Block& block) {
  return std::visit([](const auto& one) { return one.size_text(); }, block);
}
inline Var forward(const Block& block, const Var& x, ForwardContext& context) {
  return std::visit([&](const auto& one) { return one(x, context); }, block);
}
inline void each_parameter(Block& block, const ParameterFn& f) {
  std::visit([&](auto& one) { one.each_parameter(f); }, block);
}

// The states of the kinds, in the same order.
template <class... Kinds>
std::variant<typename Kinds::State...> state_variant(const std::variant<Kinds...>&);
using BlockState = decltype(state_variant(std::declval<Block>()));

template <class Kind>
typename Kind::State& state_of(const Kind&, BlockState& state) {
  return std::get<typename Kind::State>(state);
}
inline BlockState new_state(const Block& block) {
  return std::visit([]<class Kind>(const Kind&) { return BlockState(typename Kind::State{}); }, block);
}
inline void reset(BlockState& state) {
  std::visit([](auto& one) { one.reset(); }, state);
}
inline void select(BlockState& state, const Columns& columns) {
  std::visit([&](auto& one) { one.select(columns); }, state);
}
inline Tensor advance(const Block& block, const Tensor& x, BlockState& state, int64_t note, int64_t notes) {
  return std::visit([&](const auto& one) { return one.advance(x, state_of(one, state), note, notes); }, block);
}
inline void use_styles(const Block& block, const Tensor& style, BlockState& state) {
  std::visit(
      [&](const auto& one) {
        if constexpr (requires { one.use_styles(style, state_of(one, state)); })
          one.use_styles(style, state_of(one, state));
      },
      block);
}
inline bool begin_step(const Block& block, const Tensor& known, BlockState& state) {
  return std::visit(
      [&](const auto& one) {
        if constexpr (requires { one.begin_step(known, state_of(one, state)); })
          return one.begin_step(known, state_of(one, state));
        else
          return false;
      },
      block);
}

}  // namespace poph
