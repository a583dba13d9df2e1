#include "tensor/ops.h"
#include "tensor/parallel.h"

// MODEL.md "Note features": each note's features, gathered from the piano roll. The one op that knows music.
namespace poph {
namespace {

template <class T>
struct NoteFeatures {  // a row is one (t, b, position in note order)
  const T *roll, *conv, *beat;
  T* y;
  int64_t notes, channels, units, lowest_note;
  bool descending;
  POPH_HD void operator()(int64_t row) const {
    const int64_t position = row % notes, group = row / notes, note = descending ? notes - 1 - position : position;
    const int64_t width = note_feature_width(units), pitch_class = (lowest_note + note) % pitch_classes;
    T* to = y + row * width;
    accumulate_t<T> count = 0;
    for (int64_t other = note % pitch_classes; other < notes; other += pitch_classes)
      count += roll[(group * notes + other) * channels];
    to[0] = T(accumulate_t<T>(note) / accumulate_t<T>(notes));
    for (int64_t i = 0; i < pitch_classes; ++i) to[1 + i] = i == pitch_class ? T(1) : T(0);
    to[1 + pitch_classes] = T(count);
    for (int64_t i = 0; i < units; ++i) to[2 + pitch_classes + i] = conv[(group * notes + note) * units + i];
    for (int64_t i = 0; i < beat_width; ++i) to[2 + pitch_classes + units + i] = beat[group * beat_width + i];
  }
};

template <class T>
struct RelativeClasses {  // a row is one (t, b, position in note order)
  const T* roll;
  T* y;
  int64_t notes, channels;
  bool descending;
  POPH_HD void operator()(int64_t row) const {
    const int64_t position = row % notes, group = row / notes, note = descending ? notes - 1 - position : position;
    for (int64_t i = 0; i < relative_classes; ++i) {
      accumulate_t<T> count = 0;
      for (int64_t other = (note + 1 + i) % pitch_classes; other < notes; other += pitch_classes)
        count += roll[(group * notes + other) * channels];
      y[row * relative_classes + i] = T(count);
    }
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
    const T* from = dy + (row - note + position) * note_feature_width(units) + 2 + pitch_classes;
    for (int64_t i = 0; i < units; ++i) dconv[row * units + i] = from[i];
  }
};

}  // namespace

Tensor note_features(const Tensor& roll, const Tensor& conv, const Tensor& beat, int64_t lowest_note, bool descending) {
  require(roll.shape().rank() == 4 && conv.shape().with(-1, 1) == roll.shape().with(-1, 1), "note_features: roll ",
          roll.shape(), ", convolution ", conv.shape());
  require(beat.shape() == (Shape{roll.shape()[0], roll.shape()[1], beat_width}), "note_features: roll ", roll.shape(),
          ", beat ", beat.shape());
  const int64_t units = conv.shape().last();
  Tensor y(roll.shape().with(-1, note_feature_width(units)), roll.dtype(), roll.device());
  visit_dtype(roll.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(roll.device(), roll.shape().rows(), y.shape().last(),
                 NoteFeatures<T>{roll.data<T>(), conv.data<T>(), beat.data<T>(), y.data<T>(), roll.shape()[2],
                                 roll.shape().last(), units, lowest_note, descending});
  });
  return y;
}

Tensor relative_class_counts(const Tensor& roll, bool descending) {
  require(roll.shape().rank() == 4, "relative_class_counts: roll ", roll.shape(), ", expected [T,B,N,C]");
  Tensor y(roll.shape().with(-1, relative_classes), roll.dtype(), roll.device());
  visit_dtype(roll.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(roll.device(), roll.shape().rows(), relative_classes,
                 RelativeClasses<T>{roll.data<T>(), y.data<T>(), roll.shape()[2], roll.shape().last(), descending});
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
