#include "experiments/measures_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "experiments/comparison.h"

namespace poph {
namespace {

struct Known {
  const char *key, *heading, *explanation;
  int digits = 2;
};

// In the order of the page. What a run has measured beyond these stands behind them under its own name.
constexpr Known known_measures[] = {
    {"pieces", "Pieces", "So many were measured", 0},
    {"pieces_in_all", "of", "Pieces there are", 0},
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
    {"disharmony", "Disharmony", "The harmony loss of the notes themselves, with its default settings", 4},
    {"disharmony_bar", "Disharmony by bars", "Sounding notes a step outside the nearest key of the bar"},
};

const Known* known(const std::string& key) {
  const auto found =
      std::find_if(std::begin(known_measures), std::end(known_measures), [&](const Known& one) { return key == one.key; });
  return found == std::end(known_measures) ? nullptr : found;
}

// The keys of the object at `path` whose values are numbers (or not known) in any run: the known ones in their order, then
// others.
std::vector<std::string> number_keys(const RunSet& set, const std::string& path) {
  std::vector<std::string> found;
  for (const Configuration& one : set.configurations)
    for (const RunRecord* run : one.finished()) {
      const nlohmann::ordered_json* object = value_at(*run, path);
      if (!object || !object->is_object()) continue;
      for (const auto& item : object->items())
        if ((item.value().is_number() || item.value().is_null()) &&
            std::find(found.begin(), found.end(), item.key()) == found.end())
          found.push_back(item.key());
    }
  const auto place = [](const std::string& key) { return known(key) ? known(key) - known_measures : std::ptrdiff_t{1000}; };
  std::stable_sort(found.begin(), found.end(), [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return found;
}

std::string words(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  if (!key.empty()) key[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(key[0])));
  return key;
}

// A row for each of the corpus's two halves, from the baseline's runs, and one for each configuration.
struct Source {
  std::string label, key;  // key: where in run.json
  const Configuration* configuration;
  int series;
};

std::vector<Source> sources(const RunSet& set, bool with_corpus) {
  std::vector<Source> list;
  if (with_corpus) {
    const auto measured = std::find_if(set.configurations.begin(), set.configurations.end(),
                                       [](const Configuration& one) { return !one.finished().empty(); });
    const Configuration* from =
        !set.baseline().finished().empty() || measured == set.configurations.end() ? &set.baseline() : &*measured;
    list.push_back({"the corpus: pieces to train on", "train", from, -1});
    list.push_back({"the corpus: pieces held out", "valid", from, -1});
  }
  for (size_t i = 0; i < set.configurations.size(); ++i)
    list.push_back({set.configurations[i].label, "samples", &set.configurations[i], static_cast<int>(i)});
  return list;
}

Table table_of(const std::string& caption, std::vector<Column> columns, const std::vector<Source>& rows,
               const std::function<Field(const Source&, const std::string& key)>& field) {
  Table table{caption, std::move(columns), {}};
  table.columns.insert(table.columns.begin(),
                       {"music", "Music", "Samples of a configuration, or the corpus", Column::Kind::text});
  for (const Source& source : rows) {
    Row row{{Field(source.label)}};
    row.series = source.series;
    for (size_t i = 1; i < table.columns.size(); ++i) row.fields.push_back(field(source, table.columns[i].key));
    if (std::any_of(row.fields.begin() + 1, row.fields.end(), [](const Field& one) { return !one.empty(); }))
      table.rows.push_back(std::move(row));
  }
  return table;
}

Table music_table(const RunSet& set) {
  std::vector<Column> columns;
  for (const std::string& key : number_keys(set, "measures/samples")) {
    const Known* one = known(key);
    columns.push_back(
        {key, one ? one->heading : words(key), one ? one->explanation : "", Column::Kind::mean, one ? one->digits : 3});
  }
  return table_of("How the music is made", columns, sources(set, true), [](const Source& source, const std::string& key) {
    return Field(mean_quantity(values_of(*source.configuration, at("measures/" + source.key + "/" + key))));
  });
}

Table key_table(const RunSet& set) {
  std::vector<Column> columns;
  for (const auto& [profile, name] : {std::pair{"krumhansl", "Krumhansl-Kessler"},
                                      {"temperley", "Temperley-Kostka-Payne"},
                                      {"aarden", "Aarden-Essen"},
                                      {"bellman", "Bellman-Budge"},
                                      {"simple", "Sapp, simple"}}) {
    columns.push_back({fmt::format("keys/{}/r", profile), name,
                       "Correlation of the durations by pitch class with the best key's profile, mean over pieces",
                       Column::Kind::mean, 2});
    columns.push_back({fmt::format("keys/{}/margin", profile), "margin",
                       "How far the best key's correlation is above the second best's", Column::Kind::mean, 2});
  }
  return table_of("The best key by five profiles", columns, sources(set, true), [](const Source& source, const std::string& key) {
    const auto runs = source.configuration->finished();
    const std::string name = runs.size() == 1 && key.ends_with("/r")
                                 ? text_at(*runs.front(), "measures/" + source.key + "/" + key.substr(0, key.size() - 2) + "/key")
                                 : "";
    return Field(mean_quantity(values_of(*source.configuration, at("measures/" + source.key + "/" + key))), name);
  });
}

Table overlap_table(const RunSet& set) {
  std::vector<Column> columns;
  for (const std::string& key : number_keys(set, "measures/overlap"))
    columns.push_back({"overlap/" + key,
                       key == "samples" ? "Samples, n"
                       : key == "valid" ? "Held out, n"
                                        : words(key),
                       "", Column::Kind::mean, key == "samples" || key == "valid" || key == "excerpt_steps" ? 0 : 2});
  return table_of("Overlap area with the pieces held out, 0 to 1", columns, sources(set, false),
                  [](const Source& source, const std::string& key) {
                    return Field(mean_quantity(values_of(*source.configuration, at("measures/" + key))));
                  });
}

Table copy_table(const RunSet& set) {
  const std::vector<Column> columns{
      {"copied/longest", "Longest run, steps", "The longest run of steps that a sample shares with any training piece",
       Column::Kind::mean, 1},
      {"copied/piece", "of", "The training piece; of one run", Column::Kind::text},
      {"copied/share", "Copied", "Share of the sounding steps that lie in runs of a bar or more that a training piece has too",
       Column::Kind::mean, 3}};
  // Beside the samples, what the pieces held out have in common with those trained on by themselves.
  return table_of("Copied from the training pieces", columns, sources(set, true),
                  [](const Source& source, const std::string& key) {
                    const auto runs = source.configuration->finished();
                    if (source.key == "train") return Field();
                    if (key == "copied/piece")
                      return Field(runs.size() == 1 && source.key == "samples" ? text_at(*runs.front(), "measures/" + key) : "");
                    const std::string path = source.key == "samples" ? key : "copied/valid" + key.substr(key.find('/'));
                    return Field(mean_quantity(values_of(*source.configuration, at("measures/" + path))));
                  });
}

}  // namespace

std::vector<Table> measure_tables(const RunSet& set) {
  std::vector<Table> tables;
  for (Table& table : std::vector{music_table(set), key_table(set), overlap_table(set), copy_table(set)})
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
  return "<p class=\"explained\">Means over the pieces of a run, and over its seeds with a 95 % interval. Samples resemble the "
         "corpus where their row is near its rows.</p>\n" +
         html + "<details><summary>What these measure</summary><dl>\n" + meanings + "</dl></details>\n";
}

}  // namespace poph
