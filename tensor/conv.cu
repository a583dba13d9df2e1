#include "tensor/ops.h"
#include "tensor/parallel.h"

namespace poph {
namespace {

template <class T>
struct UnfoldNotes {  // a row is one note's patch: [channel][offset], the layout of a [out, channel, kernel] weight's row
  const T* x;
  T* y;
  int64_t notes, channels, kernel, pad_below;
  POPH_HD void operator()(int64_t row) const {
    const int64_t note = row % notes, group = row - note;
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t offset = 0; offset < kernel; ++offset) {
        const int64_t from = note + offset - pad_below;
        y[(row * channels + channel) * kernel + offset] =
            from >= 0 && from < notes ? x[(group + from) * channels + channel] : T(0);
      }
  }
};

template <class T>
struct UnfoldNotesGrad {  // gathers, for one note, every patch it is part of
  const T* dy;
  T* dx;
  int64_t notes, channels, kernel, pad_below;
  POPH_HD void operator()(int64_t row) const {
    const int64_t note = row % notes, group = row - note;
    for (int64_t channel = 0; channel < channels; ++channel) {
      accumulate_t<T> total = 0;
      for (int64_t offset = 0; offset < kernel; ++offset) {
        const int64_t patch = note - offset + pad_below;
        if (patch >= 0 && patch < notes) total += dy[((group + patch) * channels + channel) * kernel + offset];
      }
      dx[row * channels + channel] = T(total);
    }
  }
};

constexpr int64_t pitch_classes = 12, beats = 16;

template <class T>
struct NoteFeatures {  // a row is one (t, b, position in note order)
  const T *roll, *conv, *beat;
  T* y;
  int64_t notes, channels, units, lowest_note;
  bool descending;
  POPH_HD void operator()(int64_t row) const {
    const int64_t position = row % notes, group = row / notes, note = descending ? notes - 1 - position : position;
    const int64_t width = 1 + pitch_classes + 1 + units + beats, pitch_class = (lowest_note + note) % pitch_classes;
    T* to = y + row * width;
    accumulate_t<T> count = 0;
    for (int64_t other = note % pitch_classes; other < notes; other += pitch_classes) count += roll[(group * notes + other) * channels];
    to[0] = T(accumulate_t<T>(note) / accumulate_t<T>(notes));
    for (int64_t i = 0; i < pitch_classes; ++i) to[1 + i] = i == pitch_class ? T(1) : T(0);
    to[1 + pitch_classes] = T(count);
    for (int64_t i = 0; i < units; ++i) to[2 + pitch_classes + i] = conv[(group * notes + note) * units + i];
    for (int64_t i = 0; i < beats; ++i) to[2 + pitch_classes + units + i] = beat[group * beats + i];
  }
};

template <class T>
struct NoteFeaturesGrad {
  const T* dy;
  T* dconv;
  int64_t notes, units;
  bool descending;
  POPH_HD void operator()(int64_t row) const {
    const int64_t note = row % notes, position = descending ? notes - 1 - note : note;
    const T* from = dy + (row - note + position) * (2 + pitch_classes + units + beats) + 2 + pitch_classes;
    for (int64_t i = 0; i < units; ++i) dconv[row * units + i] = from[i];
  }
};

}  // namespace

Tensor unfold_notes(const Tensor& x, int64_t kernel, int64_t pad_below) {
  require(x.shape().rank() >= 2, "unfold_notes: expected (.., N, C), found ", x.shape());
  const int64_t notes = x.shape()[-2], channels = x.shape()[-1];
  Tensor y(x.shape().with(-1, channels * kernel), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), x.shape().rows(), channels * kernel,
                 UnfoldNotes<T>{x.data<T>(), y.data<T>(), notes, channels, kernel, pad_below});
  });
  return y;
}

Tensor unfold_notes_grad(const Tensor& dy, int64_t channels, int64_t kernel, int64_t pad_below) {
  Tensor dx(dy.shape().with(-1, channels), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(dy.device(), dx.shape().rows(), channels * kernel,
                 UnfoldNotesGrad<T>{dy.data<T>(), dx.data<T>(), dx.shape()[-2], channels, kernel, pad_below});
  });
  return dx;
}

Tensor note_features(const Tensor& roll, const Tensor& conv, const Tensor& beat, int64_t lowest_note, bool descending) {
  require(roll.shape().rank() == 4 && conv.shape().with(-1, 1) == roll.shape().with(-1, 1), "note_features: roll ", roll.shape(),
          ", convolution ", conv.shape());
  require(beat.shape() == (Shape{roll.shape()[0], roll.shape()[1], beats}), "note_features: roll ", roll.shape(), ", beat ", beat.shape());
  const int64_t units = conv.shape().last();
  Tensor y(roll.shape().with(-1, 2 + pitch_classes + units + beats), roll.dtype(), roll.device());
  visit_dtype(roll.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(roll.device(), roll.shape().rows(), y.shape().last(),
                 NoteFeatures<T>{roll.data<T>(), conv.data<T>(), beat.data<T>(), y.data<T>(), roll.shape()[2], roll.shape().last(), units,
                                 lowest_note, descending});
  });
  return y;
}

Tensor note_features_grad(const Tensor& dy, int64_t octave_units, bool descending) {
  Tensor dconv(dy.shape().with(-1, octave_units), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(dy.device(), dy.shape().rows(), octave_units,
                 NoteFeaturesGrad<T>{dy.data<T>(), dconv.data<T>(), dy.shape()[2], octave_units, descending});
  });
  return dconv;
}

}  // namespace poph
