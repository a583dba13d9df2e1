#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>

#include "data/files/file.h"
#include "experiments/workspace/run_record.h"
#include "poph_paths.h"
#include "tensor/error.h"

// run.json through RunRecord: files of earlier versions are read, and written as they were.
using namespace poph;

namespace {

RunRecord parsed(const std::string& text) { return parse_run_record(text, "run.json"); }

std::string refusal(const std::string& text) {
  try {
    parsed(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(run_record)

BOOST_AUTO_TEST_CASE(a_finished_run_is_written_as_it_was_read) {
  const std::string text = read_file(POPH_SOURCE_ROOT "/tests/golden/run.json");
  const RunRecord record = parsed(text);
  BOOST_TEST(run_record_text(record) == text);
  BOOST_TEST(record.finished());
  BOOST_TEST(*record.seed == UINT64_MAX);
  BOOST_TEST(*record.sessions == 2);
  BOOST_TEST(record.data->faults.damaged.at("cut short") == 2);
  BOOST_TEST(record.best->loss == 0.1640625);
  BOOST_TEST(!record.error);
  BOOST_TEST(std::isnan(record.measures->samples->measures.groove_consistency));
  BOOST_TEST(key_name(record.measures->pieces[1].measures.keys[0].key) == "C# minor");
  BOOST_TEST(record.measures->pieces[1].measures.keys[4].key == -1);
  BOOST_TEST(record.measures->pieces[1].copied->of == "a minuet");
}

BOOST_AUTO_TEST_CASE(what_is_not_known_is_left_out) {
  BOOST_TEST(run_record_text(parsed("{}")) == "{\n  \"status\": \"pending\"\n}\n");
  BOOST_TEST(run_record_text(parsed("{\"status\": \"failed\", \"error\": \"no memory\", \"later\": [1]}")) ==
             "{\n  \"error\": \"no memory\",\n  \"status\": \"failed\"\n}\n");
  const RunRecord some = parsed("{\"measures\": {\"samples\": {\"polyphony\": 2}}, \"best\": {\"epoch\": 3}}");
  BOOST_TEST(some.measures->samples->measures.polyphony == 2);
  BOOST_TEST(std::isnan(some.measures->samples->measures.notes));
  BOOST_TEST(std::isnan(some.best->loss));
}

BOOST_AUTO_TEST_CASE(conditions_and_the_files_of_generate) {
  RunRecord record;
  record.files = {"0a", std::nullopt, "0b", std::nullopt};
  record.condition = ConditionRecord{"bass b.mid", 8, {{-12.5, 3.25, 4, 1}, {-2, 8, 0, 0}}};
  const RunRecord back = parsed(run_record_text(record));
  BOOST_TEST((back.files == record.files));
  BOOST_TEST(back.condition->text == "bass b.mid");
  BOOST_TEST(back.condition->particles == 8);
  BOOST_TEST(back.condition->pieces.size() == 2u);
  BOOST_TEST(condition_text(back.condition->pieces[0], 8) ==
             "log probability -12.5, effective size at least 3.2 of 8 particles, resampled 4 times");
  BOOST_TEST((parsed("{\"prime\": \"0a\", \"bass\": \"0b\"}").files == record.files));
  BOOST_TEST(refusal("{\"condition\": {\"pieces\": 1}}") ==
             "run.json: not as PopH writes it: \"condition.pieces\" is 1, expected a list");
}

BOOST_AUTO_TEST_CASE(other_contents_are_refused_in_one_line) {
  BOOST_TEST(refusal("{") == "run.json: not a JSON object as PopH writes it");
  BOOST_TEST(refusal("[]") == "run.json: not a JSON object as PopH writes it");
  const std::string start = "run.json: not as PopH writes it: ";
  BOOST_TEST(refusal("{\"best\": {\"loss\": \"low\"}}") == start + "\"best.loss\" is \"low\", expected a number");
  BOOST_TEST(refusal("{\"status\": \"asleep\"}") == start + "\"status\" is \"asleep\", expected the status of a run");
  BOOST_TEST(refusal("{\"overrides\": 1}") == start + "\"overrides\" is 1, expected a list");
  BOOST_TEST(refusal("{\"data\": {\"faults\": {\"skipped\": {\"a\": null}}}}") ==
             start + "\"data.faults.skipped.a\" is null, expected a number");
  BOOST_TEST(refusal("{\"model\": {\"autoregressive\": 1}}") ==
             start + "\"model.autoregressive\" is 1, expected true or false");
}

BOOST_AUTO_TEST_SUITE_END()
