#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/files/file.h"
#include "data/files/text.h"
#include "experiments/media/piano_roll_svg.h"
#include "experiments/report/comparison.h"
#include "experiments/report/comparison_tables.h"
#include "experiments/report/curves.h"
#include "experiments/report/likelihood_table.h"
#include "experiments/report/records.h"
#include "experiments/report/report.h"
#include "experiments/report/samples.h"
#include "experiments/report/table.h"
#include "tensor/error.h"
#include "tests/support/folder.h"

using namespace poph;
using namespace poph::test;

namespace {

Table example() {
  Table table{"An <example>",
              {{"name", "Name", "", Column::Kind::text},
               {"loss", "Loss", "", Column::Kind::mean, 2, false, true},
               {"gone", "Gone", ""},
               {"p", "p", "", Column::Kind::number, 3}},
              {}};
  table.rows.push_back({{Field("plain"), Field(Quantity{1.25, 1, 1.5, 3}), Field(), Field(0.03125)}});
  table.rows.push_back(
      {{Field("größer, \"b\" <i>", "note"), Field(Quantity{2, 1.9, 2.4, 2}), Field(), Field()}, false});
  return table;
}

// A run with losses by epoch; seconds are ten an epoch.
Run run_of(uint64_t seed, const std::vector<double>& losses, double likelihood = not_known,
           bool autoregressive = true) {
  Run run;
  run.seed = seed;
  run.status = RunStatus::finished;
  run.autoregressive = autoregressive;
  size_t best = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    run.valid.push_back({static_cast<int64_t>(i) + 1,
                         10.0 * static_cast<double>(i + 1),
                         {{"total", losses[i]}, {"play", losses[i] / 2}, {"harmony", 0.1}}});
    if (losses[i] < losses[best]) best = i;
  }
  run.record.best = BestEpoch{static_cast<int64_t>(best) + 1, losses[best]};
  run.record.epochs = std::ssize(losses);
  if (std::isfinite(likelihood)) run.record.log_likelihood.valid.emplace().nats_per_step = likelihood;
  return run;
}

Configuration configuration_of(const std::string& label, std::vector<Run> runs) {
  Configuration one;
  one.label = label;
  one.group = "l";
  one.autoregressive = runs.front().autoregressive;
  one.runs = std::move(runs);
  return one;
}

RunSet three() {
  RunSet set;
  set.configurations.push_back(
      configuration_of("base", {run_of(1, {3, 2, 1}, -5), run_of(2, {3, 2.5, 1.5}, -6), run_of(3, {3, 2, 2})}));
  set.configurations.push_back(
      configuration_of("better", {run_of(2, {2, 1.25}, -5.5), run_of(1, {1, 0.5}, -4), run_of(9, {9, 0.1})}));
  set.configurations.push_back(configuration_of("leaky", {run_of(1, {0.1, 0.01}, -0.1, false)}));
  set.configurations[0].baseline = true;
  return set;
}

const Field& field(const Table& table, size_t row, const std::string& key) {
  for (size_t c = 0; c < table.columns.size(); ++c)
    if (table.columns[c].key == key) return table.rows[row].fields[c];
  throw Error("no column " + key);
}

double value(const Table& table, size_t row, const std::string& key) { return field(table, row, key).quantity.value; }

std::string experiment(int seed, double weight, const std::string& name) {
  return joined("name = \"", name, "\"\nseed = ", seed,
                "\nmodel.blocks = [{ kind = \"lstm_time\" }]\nloss.harmony.weight = ", weight, "\n");
}

void write_run(const Folder& folder, const std::string& name, int seed, double weight, double loss) {
  std::filesystem::create_directories(folder / name);
  write_plainly(folder / (name + "/config.toml"), experiment(seed, weight, name));
  write_plainly(
      folder / (name + "/run.json"),
      "{\"status\": \"finished\", \"best\": {\"epoch\": 1, \"loss\": 1}, \"epochs\": 1, \"training_seconds\": 4, "
      "\"data\": {\"fingerprint\": \"f00d\"}}");
  write_plainly(folder / (name + "/metrics.jsonl"),
                joined("{\"epoch\": 1, \"split\": \"train\", \"time_s\": 4, \"total\": 9, \"play\": 8}\n",
                       "{\"epoch\": 1, \"split\": \"valid\", \"time_s\": 4, \"total\": ", loss, ", \"play\": ", loss,
                       ", \"replay\": \"nan\"}\n{\"epoch\": 2, \"split\": \"valid\", \"tot"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(report)

BOOST_AUTO_TEST_CASE(table_as_csv) {
  BOOST_TEST(csv_table(example()) ==
             "name,loss,loss_low,loss_high,loss_n,gone,p\r\nplain,1.25,1,1.5,3,,0.03125\r\n\"größer, \"\"b\"\" "
             "<i>\",2,1.9,2.4,2,,\r\n");
}

BOOST_AUTO_TEST_CASE(table_as_text) {
  BOOST_TEST(text_table(example()) ==
             "Name                                 Loss      p\n"
             "plain                         1.25 ± 0.25  0.031\n"
             "größer, \"b\" <i> note  2.00 (1.90 to 2.40)\n");
}

BOOST_AUTO_TEST_CASE(a_wide_table_is_transposed) {
  Table table = example();
  for (Column& column : table.columns) column.heading += std::string(40, '.');
  const std::string text = text_table(table), dots(40, '.');
  BOOST_TEST(text == "Name" + dots + "  plain        größer, \"b\" <i> note\nLoss" + dots +
                         "  1.25 ± 0.25  2.00 (1.90 to 2.40)\np" + dots + "     0.031\n");
}

BOOST_AUTO_TEST_CASE(table_as_html) {
  const std::string html = html_table(example());
  for (const char* part :
       {"<caption>An &lt;example&gt;</caption>", "größer, &quot;b&quot; &lt;i&gt; <small>note</small>",
        "<tr class=\"unranked\">", "<th scope=\"col\" class=\"number\" data-judged title=\"\">Loss</th>",
        "data-value=\"0.03125\">0.031</td>"})
    BOOST_TEST((html.find(part) != html.npos), part << " in " << html);
  BOOST_TEST(html.find("Gone") == html.npos);  // a column in which nothing stands
  BOOST_TEST(escaped_html("<a href='b'>&\"") == "&lt;a href=&#39;b&#39;&gt;&amp;&quot;");
}

BOOST_AUTO_TEST_CASE(quantities) {
  const Column mean{"", "", "", Column::Kind::mean, 2}, signed_number{"", "", "", Column::Kind::number, 1, true};
  BOOST_TEST(quantity_text({0.5, 0.25, 0.75, 4}, mean) == "0.50 ± 0.25");
  BOOST_TEST(quantity_text({0.72, 0.65, 0.80, 4}, mean) == "0.72 (0.65 to 0.80)");
  BOOST_TEST(quantity_text({0.5, not_known, not_known, 1}, mean) == "0.50");
  BOOST_TEST(quantity_text({}, mean) == "");
  BOOST_TEST(quantity_text({0.5, 0.25, 0.75, 4}, {"", "", "", Column::Kind::mean, 2, true, false, true}) ==
             "+0.50 ± 0.25, n 4");
  BOOST_TEST(quantity_text({0.25, not_known, not_known, 1}, signed_number) == "+0.2");
}

BOOST_AUTO_TEST_CASE(comparison) {
  const RunSet set = three();
  const Table table = comparison_table(set, "l");
  BOOST_REQUIRE_EQUAL(table.rows.size(), 3);
  BOOST_TEST(value(table, 0, "loss") == 1.5);  // the mean of 1, 1.5 and 2
  BOOST_TEST(value(table, 0, "rank") == 2);
  BOOST_TEST(value(table, 1, "rank") == 1);
  // Seeds 1 and 2 are in both: -0.5 and -0.25. Seed 9 has nobody to be compared with.
  BOOST_TEST(value(table, 1, "loss_difference") == -0.375);
  BOOST_TEST(field(table, 1, "loss_difference").quantity.n == 2);
  BOOST_TEST(value(table, 1, "loss_p") == 0.5);  // two of the four ways to give two differences a sign
  BOOST_TEST(value(table, 1, "log_likelihood_difference") == 0.75);
  BOOST_TEST(std::isnan(value(table, 0, "loss_difference")));
  // Seed 1: the baseline's 1 after three epochs, reached after one; seed 2: 1.5 after three, reached after two.
  BOOST_TEST(value(table, 1, "epochs_ratio") == std::sqrt(1.0 / 3 * 2 / 3), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(value(table, 1, "seconds_ratio") == value(table, 1, "epochs_ratio"), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(field(table, 0, "configuration").note == "baseline");
}

BOOST_AUTO_TEST_CASE(a_loss_that_sees_its_answers_is_shown_but_never_ranked) {
  const RunSet set = three();
  const Table table = comparison_table(set, "l");
  BOOST_TEST(value(table, 2, "loss") == 0.01);
  BOOST_TEST(!table.rows[2].ranked);
  for (const char* key : {"rank", "loss_difference", "loss_p", "log_likelihood", "log_likelihood_difference",
                          "test_log_likelihood", "epochs_ratio"})
    BOOST_TEST(std::isnan(value(table, 2, key)), key);
  BOOST_TEST(field(table, 2, "configuration").note.find("autoregressive = false") != std::string::npos);
  for (const std::string& sentence : verdicts(set, "l"))
    BOOST_TEST(sentence.find("leaky") == std::string::npos, sentence);
  BOOST_TEST(verdicts(set, "l").front().find("is that of better") != std::string::npos);
  const Table runs = runs_table(set);
  BOOST_TEST(std::isnan(value(runs, 6, "log_likelihood")));
  BOOST_TEST(value(runs, 0, "log_likelihood") == -5);
}

BOOST_AUTO_TEST_CASE(likelihoods_have_all_averages_and_counting_beside_them) {
  RunSet set = three();
  LikelihoodRecord& record = *set.configurations[0].runs[0].record.log_likelihood.valid;
  record = {{{-5, -4, -6, -20}}};
  record.lowest_note = 21, record.notes = 88, record.steps_per_quarter = 4;
  record.nats_per_step_88_keys = -7;
  record.counting.emplace().match_table = FiguresRecord{{-4.5, -4.25, -5.5, -18}};
  const Table table = likelihood_table(set, "l");
  BOOST_TEST_REQUIRE(table.rows.size() == 3u);  // a run that sees its answers has no likelihood, nothing was tested
  BOOST_TEST(field(table, 0, "model").text == "base");
  BOOST_TEST(field(table, 0, "range").text == "21 to 108");
  BOOST_TEST(value(table, 0, "steps_per_quarter") == 4);
  BOOST_TEST(value(table, 0, "nats_per_step") == -5.5);  // the mean of -5 and -6
  BOOST_TEST(value(table, 0, "nats_per_step_without_first") == -4);
  BOOST_TEST(value(table, 0, "nats_per_step_mean_of_pieces") == -6);
  BOOST_TEST(value(table, 0, "nats_per_quarter") == -20);
  BOOST_TEST(value(table, 0, "nats_per_step_88_keys") == -7);
  BOOST_TEST(field(table, 2, "model").text == "counting: match table (B: chained over the keys of a step)");
  BOOST_TEST(value(table, 2, "nats_per_step_mean_of_pieces") == -5.5);
  const Table runs = runs_table(set), columns = likelihood_columns_table(set);
  BOOST_TEST(value(runs, 0, "valid_nats_per_step_mean_of_pieces") == -6);
  BOOST_TEST(value(runs, 0, "valid_match_table_nats_per_step") == -4.5);
  BOOST_TEST(field(runs, 0, "likelihood_notes").text == "21 to 108");
  BOOST_TEST(std::isnan(value(runs, 6, "valid_nats_per_step")));
  BOOST_TEST(value(columns, 0, "valid_nats_per_step") == -5.5);
  BOOST_TEST(value(columns, 0, "valid_nats_per_quarter") == -20);
}

BOOST_AUTO_TEST_CASE(never_reached) {
  RunSet set = three();
  set.configurations[1].runs = {run_of(1, {3, 2, 2}), run_of(2, {1.5})};
  Table table = comparison_table(set, "l");
  BOOST_TEST(field(table, 1, "epochs_ratio").note == "1 of 2 seeds");
  set.configurations[1].runs.pop_back();
  table = comparison_table(set, "l");
  BOOST_TEST(field(table, 1, "epochs_ratio").text == "never");
}

BOOST_AUTO_TEST_CASE(other_comparison_groups_are_not_compared) {
  RunSet set = three();
  set.configurations[1].group = "m";
  BOOST_TEST((comparison_groups(set) == std::vector<std::string>{"l", "m"}));
  BOOST_TEST(comparison_table(set, "l").rows.size() == 2);
  const Table other = comparison_table(set, "m");
  BOOST_TEST(value(other, 0, "rank") == 1);
  BOOST_TEST(std::isnan(value(other, 0, "loss_difference")));
  BOOST_TEST(verdicts(set, "m").empty());
}

BOOST_AUTO_TEST_CASE(runs_that_failed_are_counted_and_left_out) {
  RunSet set = three();
  set.configurations[0].runs[2].status = RunStatus::diverged;
  const Table table = comparison_table(set, "l");
  BOOST_TEST(field(table, 0, "runs").text == "2 of 3");
  BOOST_TEST(value(table, 0, "loss") == 1.25);
}

BOOST_AUTO_TEST_CASE(folder_of_runs) {
  const Folder folder;
  write_run(folder, "a-1", 1, 0.1, 0.5);
  write_run(folder, "a-2", 2, 0.1, 0.7);
  write_run(folder, "off", 1, 0, 0.25);
  const RunSet set = read_runs({folder.path.string()});
  BOOST_REQUIRE_EQUAL(set.configurations.size(), 2);
  BOOST_TEST(set.configurations[0].label == "a");
  BOOST_TEST(set.configurations[0].runs.size() == 2);
  BOOST_TEST(set.configurations[0].baseline);
  BOOST_TEST(set.configurations[0].group.find("f00d") != std::string::npos);
  BOOST_TEST((set.settings == std::vector<std::string>{"loss.harmony.weight"}));
  BOOST_TEST(set.configurations[1].settings.at("loss.harmony.weight") == "0.0");
  // The harmony losses differ, so totals do not compare; the torn last line is left out.
  BOOST_TEST(compared_name(set) == "play + replay + volume");
  BOOST_TEST(set.configurations[0].runs[0].valid.size() == 1);
  BOOST_TEST(value(comparison_table(set, set.configurations[0].group), 1, "loss") == 0.25);
  // A single run has no rank and is no baseline.
  const RunSet one = read_runs({folder / "off"});
  const Table alone = comparison_table(one, one.configurations[0].group);
  BOOST_TEST(field(alone, 0, "rank").empty());
  BOOST_TEST(field(alone, 0, "configuration").note == "");
  // The first folder is the baseline.
  BOOST_TEST(read_runs({folder / "off", folder / "a-1"}).baseline().label == "off");
  BOOST_CHECK_EXCEPTION(read_runs({folder / "none"}), Error,
                        [](const Error& e) { return std::string(e.what()).ends_with("none: no such folder"); });
}

BOOST_AUTO_TEST_CASE(one_seed_counts_once) {
  const Folder folder;
  const auto at = [&](const std::string& name) { return folder / name; };
  const auto write_as = [&](const std::string& name, int seed, double weight, const std::string& own) {
    write_run(folder, name, seed, weight, 0.5);
    write_plainly(at(name + "/config.toml"), experiment(seed, weight, own));
  };
  write_run(folder, "a", 1, 0.1, 0.5);
  write_run(folder, "a-2", 2, 0.1, 0.7);
  write_as("a.1", 1, 0.1, "a");
  write_as("a.2", 1, 0, "a");  // moved aside for other settings
  write_as("copy", 1, 0.1, "a");
  write_as("v1.1", 3, 0.1, "v1.1");  // a name that somebody gave
  write_as("w.1", 1, 0.3, "w");      // its run is gone
  const RunSet set = read_runs({folder.path.string()});
  BOOST_TEST(set.left_out == "left out: " + at("a.1") + " (moved aside by --restart), " + at("a.2") +
                                 " (moved aside by --restart), " + at("copy") + " (the same as " + at("a") + ")");
  BOOST_REQUIRE_EQUAL(set.configurations.size(), 2);
  BOOST_TEST(set.configurations[0].runs.size() == 3);
  BOOST_TEST(set.configurations[1].runs[0].name == "w.1");
  BOOST_TEST((write_report(folder.path.string()) == set.left_out));
  BOOST_TEST(read_file(folder / "report.html").find(escaped_html(set.left_out)) != std::string::npos);
  // Whoever names a run sees it, unless it is there already.
  const RunSet named = read_runs({at("a.2"), at("a.1"), at("copy"), at("copy")});
  BOOST_TEST(named.left_out ==
             "left out: " + at("a.1") + " (the same as " + at("copy") + "), " + at("copy") + " (named twice)");
  BOOST_TEST(named.configurations.size() == 2);
  // A finished copy counts before its original.
  write_plainly(at("a/run.json"), "{\"status\": \"interrupted\", \"data\": {\"fingerprint\": \"f00d\"}}");
  BOOST_TEST(read_runs({at("a"), at("copy")}).left_out == "left out: " + at("a") + " (the same as " + at("copy") + ")");
  // The same settings with other data are another configuration; the same data in another place are not.
  write_plainly(at("copy/run.json"), "{\"status\": \"finished\", \"data\": {\"fingerprint\": \"beef\"}}");
  BOOST_TEST(read_runs({at("a"), at("copy")}).left_out == "");
  for (const char* name : {"a", "a-2"})
    write_plainly(at(std::string(name) + "/config.toml"),
                  joined("data.source = \"/", name, "\"\n", experiment(name == std::string("a") ? 1 : 2, 0.1, name)));
  BOOST_TEST(read_runs({at("a"), at("a-2")}).configurations.size() == 1);
}

BOOST_AUTO_TEST_CASE(sweep_index) {
  const Folder folder;
  write_run(folder, "r1", 1, 0.1, 0.5);
  write_run(folder, "r2", 1, 0, 0.25);
  write_plainly(
      folder / "index.jsonl",
      "{\"id\": \"r1\", \"label\": \"on\", \"seed\": 1, \"status\": \"finished\"}\n"
      "{\"id\": \"r2\", \"label\": \"off\", \"seed\": 1, \"status\": \"finished\", \"baseline\": true}\n"
      "{\"id\": \"r3\", \"label\": \"off\", \"seed\": 2, \"status\": \"failed\", \"error\": \"out of <memory>\"}\n");
  const RunSet set = read_runs({folder.path.string()});
  BOOST_TEST(set.sweep);
  BOOST_REQUIRE_EQUAL(set.configurations.size(), 2);
  BOOST_TEST(set.baseline().label == "off");
  BOOST_TEST(set.baseline().runs[1].error == "out of <memory>");
  write_report(folder.path.string());
  const std::string html = read_file(folder / "report.html");
  BOOST_TEST((html.find("<code>r3</code>: failed: out of &lt;memory&gt;") != html.npos));
  BOOST_TEST(html.find("{{") == html.npos);
  BOOST_TEST(read_file(folder / "report.csv").find("\r\noff,") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(files_of_another_kind_are_refused_in_one_line) {
  const Folder folder;
  const auto refused = [&](const std::string& end) {
    BOOST_CHECK_EXCEPTION(read_runs({folder.path.string()}), Error, [&](const Error& e) {
      const std::string what = e.what();
      return what.find(end) != what.npos && what.find('\n') == what.npos;
    });
  };
  write_plainly(folder / "run.json", "{\"seed\": \"one\"}");
  refused("run.json: not as PopH writes it: \"seed\" is \"one\", expected a number");
  write_plainly(folder / "run.json", "[1]");
  refused("run.json: not a JSON object as PopH writes it");
  write_plainly(folder / "index.jsonl", "{\"id\": \"a\", \"seed\": \"one\"}\n");
  refused("/index.jsonl: not as PopH writes it: ");
  write_plainly(folder / "index.jsonl", "");
  refused("/index.jsonl: no run is listed");
}

BOOST_AUTO_TEST_CASE(curves) {
  const nlohmann::json json = curves_json(three());
  BOOST_TEST(json["series"].size() == 3);
  const nlohmann::json& line = json["parts"]["total"]["valid"][0];
  BOOST_TEST(line["epoch"] == nlohmann::json({1, 2, 3}));
  BOOST_TEST(line["mean"][1].get<double>() == 2.16667);  // 2, 2.5 and 2, rounded for the page
  BOOST_TEST(line["low"][1].get<double>() < 2.1);
  BOOST_TEST(line["n"][2] == 3);
  BOOST_TEST(json["parts"]["volume"]["valid"][0]["epoch"].empty());
}

BOOST_AUTO_TEST_CASE(piano_roll_picture) {
  Roll roll(60, 12);
  std::vector<poph::Cell> cells(12, 0);
  for (int velocity : {127, 64 | replay_bit, 0}) {
    cells[4] = static_cast<poph::Cell>(velocity);
    roll.append(cells);
  }
  const std::string svg = piano_roll_svg(roll, "a < b: C major", 4);
  for (const char* part : {"a &lt; b: C major", "opacity=\"1.00\"", "opacity=\"0.65\"", "class=\"again\" d=\"M38.3 ",
                           "class=\"bar\"", ">C4</text>"})
    BOOST_TEST((svg.find(part) != svg.npos), part << " in " << svg);
}

BOOST_AUTO_TEST_SUITE_END()
