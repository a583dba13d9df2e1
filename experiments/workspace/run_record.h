#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/measures/measures.h"
#include "data/measures/not_known.h"
#include "data/measures/overlap.h"
#include "data/measures/repetition.h"
#include "data/measures/scores.h"
#include "experiments/config/settings.h"

// run.json: what is known of a run beside its weights and curves. The run writes it; sweeps and reports read it.
//
//   status                            "running", "finished", "interrupted", "failed" or "diverged"
//   error                             of a run that failed or diverged
//   name, seed, command_line, overrides
//   version, revision, host, pid, device, threads, cpu_kernels, blas: of the latest session
//   started, updated                  UTC, "2026-11-29T20:15:00Z"
//   sittings                          how many sessions have worked on the run
//   data                              {fingerprint, files, skipped, damaged, pieces_train, pieces_valid, steps,
//                                      windows_train, windows_valid (of staggered windows), dropped_notes, bytes,
//                                      styles: [{name, pieces_train, pieces_valid, steps}] (of a model with styles),
//                                      faults: {skipped: {KIND: files, ..}, damaged: {KIND: files, ..}}}
//   prime, melody, bass, keep         the fingerprints of the files that [generate] names, of each that it does
//   start_from                        the fingerprint of the weights that train.start_from named, if it did
//   model                             {parameters, autoregressive}
//   epochs, steps, skipped_steps, training_seconds
//   best                              {epoch, loss}: of the checkpoint "best"
//   music                             {before_training, corpus, after_training}, each
//                                     {notes, in_key, pitch_classes, distance_from_corpus}
//   samples                           [the paths of the MIDI files]
//   style                             of samples by a model with styles: "bach 0.7, satie 0.3"
//   condition                         of samples that were composed under conditions: see ConditionRecord
//   measures                          {samples, train, valid, pieces, overlap, copied}: see MeasuresRecord
//   log_likelihood                    {valid, test}: see LikelihoodRecord
//   style_likelihoods                 [each style's held-out pieces under every style]: see StyleLikelihood
//
// Members appear as the run gets there. A number that is not finite and a text that is empty are written as null; a
// std::optional that is empty is left out. Each struct has one list of its members, `each_field`, by which it is both
// written and read.
namespace poph {

enum class RunStatus { pending, running, finished, interrupted, failed, diverged };  // pending: not started
const char* status_name(RunStatus status);
std::optional<RunStatus> find_status(const std::string& name);

struct BestEpoch {
  int64_t epoch = 0;
  double loss = not_known;  // the one that train.monitor names

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("epoch", s.epoch), f("loss", s.loss);
  }
};

struct FaultCounts {  // files by kind of fault
  std::map<std::string, int64_t> skipped, damaged;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("skipped", s.skipped), f("damaged", s.damaged);
  }
};

struct StyleDataRecord {
  std::string name;
  int64_t pieces_train = 0, pieces_valid = 0, steps = 0;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("name", s.name), f("pieces_train", s.pieces_train), f("pieces_valid", s.pieces_valid), f("steps", s.steps);
  }
};

struct DataRecord {
  std::optional<std::string> fingerprint;
  int64_t files = 0, skipped = 0, damaged = 0;  // damaged: read nevertheless
  int64_t pieces_train = 0, pieces_valid = 0, steps = 0, dropped_notes = 0;
  std::optional<int64_t> windows_train, windows_valid;  // of staggered windows
  int64_t bytes = 0;                                    // of memory
  FaultCounts faults;
  std::optional<std::vector<StyleDataRecord>> styles;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("fingerprint", s.fingerprint), f("files", s.files), f("skipped", s.skipped), f("damaged", s.damaged);
    f("pieces_train", s.pieces_train), f("pieces_valid", s.pieces_valid), f("steps", s.steps);
    f("windows_train", s.windows_train), f("windows_valid", s.windows_valid), f("dropped_notes", s.dropped_notes);
    f("bytes", s.bytes), f("faults", s.faults), f("styles", s.styles);
  }
};

struct ModelRecord {
  int64_t parameters = 0;
  bool autoregressive = true;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("parameters", s.parameters), f("autoregressive", s.autoregressive);
  }
};

struct TonalityRecord {  // data/measures/tonality.h
  int64_t notes = 0;
  double in_key = not_known;
  PitchClasses pitch_classes{};
  std::optional<double> distance_from_corpus;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("notes", s.notes), f("in_key", s.in_key), f("pitch_classes", s.pitch_classes);
    f("distance_from_corpus", s.distance_from_corpus);
  }
};

struct MusicRecord {
  std::optional<TonalityRecord> before_training, corpus, after_training;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("before_training", s.before_training), f("corpus", s.corpus), f("after_training", s.after_training);
  }
};

// The four averages of a model's log-likelihood (MODEL.md "Evaluation"), of the keys that it has and, where that is
// defined, of all 88.
struct FiguresRecord : Averages {
  std::optional<double> nats_per_step_88_keys = {}, nats_per_step_without_first_88_keys = {},
                        nats_per_step_mean_of_pieces_88_keys = {}, nats_per_quarter_88_keys = {};

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("nats_per_step", s.nats_per_step), f("nats_per_step_without_first", s.nats_per_step_without_first);
    f("nats_per_step_mean_of_pieces", s.nats_per_step_mean_of_pieces), f("nats_per_quarter", s.nats_per_quarter);
    f("nats_per_step_88_keys", s.nats_per_step_88_keys);
    f("nats_per_step_without_first_88_keys", s.nats_per_step_without_first_88_keys);
    f("nats_per_step_mean_of_pieces_88_keys", s.nats_per_step_mean_of_pieces_88_keys);
    f("nats_per_quarter_88_keys", s.nats_per_quarter_88_keys);
  }
};

// The same of the models that count (data/measures/counting.h), over the same pieces.
struct CountingRecords {
  std::optional<FiguresRecord> frequency, last_states, match_table;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("frequency", s.frequency), f("last_states", s.last_states), f("match_table", s.match_table);
  }
};

// Of each split: how likely the model finds its pieces. Nats of two models compare only where the cells are the same
// ones, so these are here too.
struct LikelihoodRecord : FiguresRecord {
  int64_t steps = 0, lowest_note = 0, notes = 0, steps_per_quarter = 0;
  std::optional<int64_t> pieces = {}, pieces_left_out = {};
  std::optional<CountingRecords> counting = {};
  std::optional<std::string> worse = {};   // which counting models are better
  std::optional<std::string> remark = {};  // what of it is not known, and why

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    FiguresRecord::each_field(s, f), f("steps", s.steps);
    f("lowest_note", s.lowest_note), f("notes", s.notes), f("steps_per_quarter", s.steps_per_quarter);
    f("pieces", s.pieces), f("pieces_left_out", s.pieces_left_out), f("counting", s.counting);
    f("worse", s.worse), f("remark", s.remark);
  }
};

struct LikelihoodRecords {
  std::optional<LikelihoodRecord> valid, test;
  bool empty() const { return !valid && !test; }

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("valid", s.valid), f("test", s.test);
  }
};

// The pieces of one style, as of every style.
struct StyleLikelihood {
  std::string name;
  int64_t pieces = 0, pieces_left_out = 0, steps = 0;  // that were scored
  std::vector<double> nats_per_step;                   // as of each style, in the order of model.styles
  double nats_per_step_equal = not_known;              // as of all of them in equal shares
  int64_t recognised = 0;                              // pieces that are likeliest as of their own style

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("name", s.name), f("pieces", s.pieces), f("pieces_left_out", s.pieces_left_out), f("steps", s.steps);
    f("nats_per_step", s.nats_per_step), f("nats_per_step_equal", s.nats_per_step_equal);
    f("recognised", s.recognised);
  }
};

// Shares of the steps by the length of their exact match (data/measures/repetition.h).
struct RepeatsRecord {
  MatchShares shares{};

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    for (size_t i = 0; i < match_classes.size(); ++i) f(match_classes[i], s.shares[i]);
  }
};

// Means over the pieces of a split, or over the samples. "keys" is {PROFILE: {key, r, margin}, ..}.
struct MeanMeasures {
  Measures measures;
  int64_t pieces = 0;                    // that were measured
  std::optional<int64_t> pieces_in_all;  // of a split
  std::optional<RepeatsRecord> repeats;  // of all steps

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f(s.measures), f("pieces", s.pieces), f("pieces_in_all", s.pieces_in_all), f("repeats", s.repeats);
  }
};

// Steps in common with the training pieces (data/measures/copies.h).
struct CopyRecord {
  int64_t longest = 0;       // steps
  double share = not_known;  // of the sounding steps

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("longest", s.longest), f("share", s.share);
  }
};

struct PieceMeasures {
  Measures measures;
  std::string file;
  struct Copied : CopyRecord {
    std::string of;  // a training piece

    template <class Self, class F>
    static void each_field(Self& s, F f) {
      CopyRecord::each_field(s, f), f("of", s.of);
    }
  };
  std::optional<Copied> copied;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f(s.measures), f("file", s.file), f("copied", s.copied);
  }
};

struct SamplesCopied : CopyRecord {
  std::string piece;  // a training piece
  int64_t transposed_by_up_to = 0;
  std::optional<CopyRecord> valid;  // the same of the validation pieces, as a scale for it

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    CopyRecord::each_field(s, f), f("piece", s.piece), f("transposed_by_up_to", s.transposed_by_up_to);
    f("valid", s.valid);
  }
};

struct OverlapRecord {
  std::array<double, feature_names.size()> areas{};
  int64_t samples = 0, valid = 0, excerpt_steps = 0;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    for (size_t i = 0; i < feature_names.size(); ++i) f(feature_names[i], s.areas[i]);
    f("samples", s.samples), f("valid", s.valid), f("excerpt_steps", s.excerpt_steps);
  }
};

// - samples, train, valid: means over the pieces of each (at most 1,000 of a split, evenly chosen)
// - pieces: the same of each sample
// - overlap: of each feature with the validation pieces, cut into excerpts of the samples' length (at most 200 of
//   either)
// - copied: over all samples
struct MeasuresRecord {
  std::optional<MeanMeasures> samples, train, valid;
  std::vector<PieceMeasures> pieces;
  std::optional<OverlapRecord> overlap;  // absent without validation pieces
  std::optional<SamplesCopied> copied;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("samples", s.samples), f("train", s.train), f("valid", s.valid), f("pieces", s.pieces);
    f("overlap", s.overlap), f("copied", s.copied);
  }
};

// What was weighed of a piece that keeps to conditions (MODEL.md "Conditions").
struct ConditionReport {
  double log_probability = 0;          // the estimate of that of all that was given
  double smallest_effective_size = 1;  // of the particles, at a step's end
  int64_t resampled = 0;               // how often
  int64_t thin_bars = 0;               // in which the effective size was as good as 1

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("log_probability", s.log_probability), f("smallest_effective_size", s.smallest_effective_size);
    f("resampled", s.resampled), f("thin_bars", s.thin_bars);
  }
};

struct ConditionRecord {
  std::string text;  // "melody tune.mid, scale D minor"
  int64_t particles = 0;
  std::vector<ConditionReport> pieces;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("text", s.text), f("particles", s.particles), f("pieces", s.pieces);
  }
};

using FileFingerprints = std::array<std::optional<std::string>, generate_files.size()>;

struct RunRecord {
  RunStatus status = RunStatus::pending;
  std::optional<std::string> error, name, command_line;
  std::optional<uint64_t> seed;
  std::optional<std::vector<std::string>> overrides;
  std::optional<std::string> version, revision, host, device, cpu_kernels, blas;
  std::optional<int64_t> pid, threads, sessions;
  std::optional<std::string> started, updated;
  std::optional<DataRecord> data;
  FileFingerprints files;  // of generate_files
  std::optional<std::string> start_from;
  std::optional<ModelRecord> model;
  std::optional<int64_t> epochs, steps, skipped_steps;
  std::optional<double> training_seconds;
  std::optional<BestEpoch> best;
  MusicRecord music;
  std::optional<std::vector<std::string>> samples;
  std::optional<std::string> style;  // of the samples
  std::optional<ConditionRecord> condition;
  std::optional<MeasuresRecord> measures;
  LikelihoodRecords log_likelihood;
  std::optional<std::vector<StyleLikelihood>> style_likelihoods;

  bool finished() const { return status == RunStatus::finished; }

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("status", s.status), f("error", s.error), f("name", s.name), f("seed", s.seed);
    f("command_line", s.command_line), f("overrides", s.overrides), f("version", s.version), f("revision", s.revision);
    f("host", s.host), f("pid", s.pid), f("device", s.device), f("threads", s.threads);
    f("cpu_kernels", s.cpu_kernels), f("blas", s.blas), f("started", s.started), f("updated", s.updated);
    f("sittings", s.sessions), f("data", s.data);
    for (size_t i = 0; i < generate_files.size(); ++i) f(generate_files[i].name, s.files[i]);
    f("start_from", s.start_from), f("model", s.model), f("epochs", s.epochs), f("steps", s.steps);
    f("skipped_steps", s.skipped_steps), f("training_seconds", s.training_seconds), f("best", s.best);
    f("music", s.music), f("samples", s.samples), f("style", s.style), f("condition", s.condition),
        f("measures", s.measures);
    f("log_likelihood", s.log_likelihood), f("style_likelihoods", s.style_likelihoods);
  }
};

// "log probability -81.2, effective size at least 3.4 of 32 particles, resampled 12 times"
std::string condition_text(const ConditionReport& report, int64_t particles);

std::string run_record_text(const RunRecord& record);
// Members that are not there keep their defaults, others are passed over: other versions write other ones. Error, with
// the path: no JSON object, or a member of another type.
RunRecord parse_run_record(const std::string& text, const std::string& path);

nlohmann::ordered_json likelihood_json(const LikelihoodRecord& likelihood);  // in the order of its fields
nlohmann::ordered_json likelihood_json(const FiguresRecord& figures);
nlohmann::ordered_json condition_json(const ConditionReport& report);

}  // namespace poph
