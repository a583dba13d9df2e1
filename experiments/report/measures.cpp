#include "experiments/report/measures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <optional>

#include "data/files/text.h"
#include "experiments/report/comparison.h"

namespace poph {
namespace {

struct Known {
  const char *key, *heading, *explanation;
  int digits = 2;
};

// In the order of the page. Other measures follow under their own names.
constexpr Known known_measures[] = {
    {"pieces", "Pieces", "So many were measured", 0},
    {"notes", "Notes", "Strokes in a piece", 0},
    {"pitch_range", "Range", "Semitones from the lowest to the highest note", 1},
    {"pitches_used", "Pitches used", "Different pitches in a piece", 1},
    {"pitch_classes_used", "Pitch classes used", "Of the twelve", 1},
    {"pitch_entropy", "Pitch entropy", "Bits, over the notes' 128 pitches; at most 7"},
    {"pitch_class_entropy", "Pitch-class entropy", "Bits, over the twelve pitch classes; at most 3.58"},
    {"scale_consistency", "Scale consistency", "Share of the notes in the best-fitting major or natural minor scale"},
    {"pitch_in_scale_rate", "Pitch in scale",
     "Share of the notes in the scale of the key found by the Krumhansl-Kessler profile"},
    {"polyphony", "Polyphony", "Notes that sound at once, over the steps in which any sounds"},
    {"polyphony_rate", "Polyphony rate", "Share of the steps with three notes or more"},
    {"empty_beat_rate", "Empty beats", "Share of the beats in which nothing sounds"},
    {"empty_bar_rate", "Empty bars", "Share of the bars in which nothing sounds"},
    {"groove_consistency", "Groove consistency", "1 less the share of onset places in which neighbouring bars differ"},
    {"repetition", "Repetition", "Share of the steps whose last bar stood earlier in the piece", 3},
    {"disharmony", "Disharmony", "The harmony loss of the notes themselves, with its default settings", 4},
    {"disharmony_bar", "Disharmony by bars", "Sounding notes a step outside the nearest key of the bar"},
};

const Known* known(const std::string& key) {
  const auto found = std::find_if(std::begin(known_measures), std::end(known_measures),
                                  [&](const Known& one) { return key == one.key; });
  return found == std::end(known_measures) ? nullptr : found;
}

// The numbers of a record by their names.
struct NumberCollector {
  std::map<std::string, double>& numbers;

  void operator()(const Measures& measures) const { each_measure(measures, *this); }
  void operator()(const char* name, double x) const { numbers[name] = x; }
  void operator()(const char* name, int64_t x) const { numbers[name] = static_cast<double>(x); }
  template <class T>
  void operator()(const char*, const std::optional<T>&) const {}
};

template <class Record>
std::map<std::string, double> numbers_of(const Record& record) {
  std::map<std::string, double> numbers;
  Record::each_field(record, NumberCollector{numbers});
  return numbers;
}

// The known names in their order, then others.
std::vector<std::string> names_of_measures() {
  std::vector<std::string> names;
  for (const auto& [name, x] : numbers_of(MeanMeasures{})) names.push_back(name);
  const auto place = [](const std::string& name) {
    return known(name) ? known(name) - known_measures : std::ptrdiff_t{1000};
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return names;
}

std::string words(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  if (!key.empty()) key[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(key[0])));
  return key;
}

// A row of a table: a part of what the runs of a configuration have measured.
struct Source {
  std::string label;
  std::optional<MeanMeasures> MeasuresRecord::*part;
  const Configuration* configuration;
  int series = -1;

  bool samples() const { return part == &MeasuresRecord::samples; }
};

// The corpus's two halves, from the baseline's runs where these have measured, and the samples of each configuration.
std::vector<Source> sources(const RunSet& set, bool with_corpus) {
  std::vector<Source> list;
  if (with_corpus) {
    const auto measured = std::find_if(set.configurations.begin(), set.configurations.end(),
                                       [](const Configuration& one) { return !one.finished().empty(); });
    const Configuration* from =
        !set.baseline().finished().empty() || measured == set.configurations.end() ? &set.baseline() : &*measured;
    list.push_back({"the corpus: pieces to train on", &MeasuresRecord::train, from});
    list.push_back({"the corpus: pieces held out", &MeasuresRecord::valid, from});
  }
  for (size_t i = 0; i < set.configurations.size(); ++i)
    list.push_back(
        {set.configurations[i].label, &MeasuresRecord::samples, &set.configurations[i], static_cast<int>(i)});
  return list;
}

using OfMeasures = std::function<double(const MeasuresRecord&)>;

// The mean over the runs that have measured.
Quantity mean_of_runs(const Source& source, const OfMeasures& value) {
  const PerRun of_run = [&](const Run& run) { return run.record.measures ? value(*run.record.measures) : not_known; };
  return mean_quantity(values_of(*source.configuration, of_run));
}

// Of a source that is one run; null where it is several.
const MeasuresRecord* only_measures(const Source& source) {
  const auto runs = source.configuration->finished();
  return runs.size() == 1 && runs.front()->record.measures ? &*runs.front()->record.measures : nullptr;
}

struct MeasuredColumn {
  Column column;
  std::function<Field(const Source&)> field;
};

Table table_of(const std::string& caption, const std::vector<MeasuredColumn>& columns,
               const std::vector<Source>& rows) {
  Table table{caption, {{"music", "Music", "Samples of a configuration, or the corpus", Column::Kind::text}}, {}};
  for (const MeasuredColumn& one : columns) table.columns.push_back(one.column);
  for (const Source& source : rows) {
    Row row{{Field(source.label)}};
    row.series = source.series;
    for (const MeasuredColumn& one : columns) row.fields.push_back(one.field(source));
    if (std::any_of(row.fields.begin() + 1, row.fields.end(), [](const Field& one) { return !one.empty(); }))
      table.rows.push_back(std::move(row));
  }
  return table;
}

Table music_table(const RunSet& set) {
  std::vector<MeasuredColumn> columns;
  for (const std::string& name : names_of_measures()) {
    const Known* one = known(name);
    const Column column{name, one ? one->heading : words(name), one ? one->explanation : "", Column::Kind::mean,
                        one ? one->digits : 3};
    columns.push_back({column, [name](const Source& source) {
                         return Field(mean_of_runs(source, [&](const MeasuresRecord& measures) {
                           const auto& part = measures.*source.part;
                           return part ? numbers_of(*part).at(name) : not_known;
                         }));
                       }});
  }
  return table_of("How the music is made", columns, sources(set, true));
}

Table key_table(const RunSet& set) {
  constexpr const char* headings[] = {"Krumhansl-Kessler", "Temperley-Kostka-Payne", "Aarden-Essen", "Bellman-Budge",
                                      "Sapp, simple"};
  static_assert(std::size(headings) == std::tuple_size_v<decltype(Measures::keys)>);
  const auto mean = [](const Source& source, size_t profile, double KeyFit::*member) {
    return mean_of_runs(source, [&](const MeasuresRecord& measures) {
      const auto& part = measures.*source.part;
      return part ? part->measures.keys[profile].*member : not_known;
    });
  };
  std::vector<MeasuredColumn> columns;
  for (size_t profile = 0; profile < key_profiles.size(); ++profile) {
    const std::string prefix = fmt::format("keys/{}/", key_profiles[profile].name);
    columns.push_back({{prefix + "r", headings[profile],
                        "Correlation of the durations by pitch class with the best key's profile, mean over pieces",
                        Column::Kind::mean, 2},
                       [=](const Source& source) {
                         const MeasuresRecord* only = only_measures(source);
                         const bool named = only && only->*source.part;
                         return Field(mean(source, profile, &KeyFit::r),
                                      named ? key_name((only->*source.part)->measures.keys[profile].key) : "");
                       }});
    columns.push_back({{prefix + "margin", "margin", "How far the best key's correlation is above the second best's",
                        Column::Kind::mean, 2},
                       [=](const Source& source) { return Field(mean(source, profile, &KeyFit::margin)); }});
  }
  return table_of("The best key by five profiles", columns, sources(set, true));
}

Table repeats_table(const RunSet& set) {
  std::vector<MeasuredColumn> columns;
  for (size_t i = 0; i < match_classes.size(); ++i)
    columns.push_back({{joined("repeats/", match_classes[i]), match_classes[i],
                        i == 0 ? "Share of the steps before which nothing stands that stood earlier in the piece"
                               : joined("Share of the steps before which the last ", match_classes[i],
                                        " steps stood earlier in the piece"),
                        Column::Kind::mean, 3},
                       [=](const Source& source) {
                         return Field(mean_of_runs(source, [&](const MeasuresRecord& measures) {
                           const auto& part = measures.*source.part;
                           return part && part->repeats ? part->repeats->shares[i] : not_known;
                         }));
                       }});
  return table_of("Steps by how many before them stood earlier in the piece", columns, sources(set, true));
}

Table overlap_table(const RunSet& set) {
  std::vector<MeasuredColumn> columns;
  for (const auto& [name, x] : numbers_of(OverlapRecord{})) {
    const bool count = name == "samples" || name == "valid" || name == "excerpt_steps";
    const std::string heading = name == "samples" ? "Samples, n" : name == "valid" ? "Held out, n" : words(name);
    columns.push_back(
        {{"overlap/" + name, heading, "", Column::Kind::mean, count ? 0 : 2}, [name = name](const Source& source) {
           return Field(mean_of_runs(source, [&](const MeasuresRecord& measures) {
             return measures.overlap ? numbers_of(*measures.overlap).at(name) : not_known;
           }));
         }});
  }
  return table_of("Overlap area with the pieces held out, 0 to 1", columns, sources(set, false));
}

// Beside the samples: what the pieces held out have in common with those trained on. Null where that was not counted.
const CopyRecord* copies_of(const Source& source, const MeasuresRecord& measures) {
  if (!measures.copied || source.part == &MeasuresRecord::train) return nullptr;
  if (source.samples()) return &*measures.copied;
  return measures.copied->valid ? &*measures.copied->valid : nullptr;
}

Table copy_table(const RunSet& set) {
  const auto mean = [](const Source& source, const auto& member) {
    return Field(mean_of_runs(source, [&](const MeasuresRecord& measures) {
      const CopyRecord* copied = copies_of(source, measures);
      return copied ? static_cast<double>(copied->*member) : not_known;
    }));
  };
  const std::vector<MeasuredColumn> columns{
      {{"copied/longest", "Longest run, steps", "The longest run of steps that a sample shares with any training piece",
        Column::Kind::mean, 1},
       [=](const Source& source) { return mean(source, &CopyRecord::longest); }},
      {{"copied/piece", "of", "The training piece; of one run", Column::Kind::text},
       [](const Source& source) {
         const MeasuresRecord* only = only_measures(source);
         return Field(source.samples() && only && only->copied ? only->copied->piece : "");
       }},
      {{"copied/share", "Copied",
        "Share of the sounding steps that lie in runs of a bar or more that a training piece has too",
        Column::Kind::mean, 3},
       [=](const Source& source) { return mean(source, &CopyRecord::share); }}};
  return table_of("Copied from the training pieces", columns, sources(set, true));
}

}  // namespace

std::vector<Table> measure_tables(const RunSet& set) {
  std::vector<Table> tables;
  for (Table& table :
       std::vector{music_table(set), repeats_table(set), key_table(set), overlap_table(set), copy_table(set)})
    if (!table.rows.empty()) tables.push_back(std::move(table));
  return tables;
}

std::string measures_html(const RunSet& set) {
  std::string html, meanings;
  for (const Table& table : measure_tables(set)) {
    html += html_table(table);
    for (const Column& column : table.columns)
      if (!column.explanation.empty() && column.key != "music")
        meanings += "<dt>" + escaped_html(column.heading) + "</dt><dd>" + escaped_html(column.explanation) + "</dd>\n";
  }
  if (html.empty()) return "<p>No run has measured its samples yet.</p>\n";
  return "<p class=\"explained\">Means over the pieces of a run, and over its seeds with a 95 % interval. Samples "
         "resemble the "
         "corpus where their row is near its rows.</p>\n" +
         html + "<details><summary>What these measure</summary><dl>\n" + meanings + "</dl></details>\n";
}

}  // namespace poph
