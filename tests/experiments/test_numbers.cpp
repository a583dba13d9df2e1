#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "data/files/file.h"
#include "experiments/config/config.h"
#include "experiments/config/numbers.h"
#include "experiments/sweep/sweep.h"
#include "experiments/workspace/memory.h"
#include "tests/support/config_files.h"

using namespace poph;
using namespace poph::test;

BOOST_AUTO_TEST_SUITE(numbers)

BOOST_AUTO_TEST_CASE(words_of_the_command_line) {
  for (const char* word : {"", " 1", "1 ", "1.0", "1e3", "0x10", "nan", "inf", "word", "--1", "+-1", "1_000"})
    BOOST_TEST(whole_number_problem(word, 0, 9).starts_with("expected a whole number, found \""), word);
  BOOST_TEST(whole_number_problem("-1", 0, 9) == "must be at least 0, is -1");
  BOOST_TEST(whole_number_problem("10", 0, 9) == "must be at most 9, is 10");
  BOOST_TEST(whole_number_problem("99999999999999999999", 0, 9) == "must be at most 9, is 99999999999999999999");
  BOOST_TEST(whole_number_problem("-99999999999999999999", 0, 9) == "must be at least 0, is -99999999999999999999");
  BOOST_TEST(whole_number_problem(std::string(500, '9'), 0, 9) ==
             "must be at most 9, is " + std::string(40, '9') + "..");
  for (const char* word : {"9", "+9", "009"}) BOOST_TEST(whole_number_problem(word, 0, 9) == "", word);
  BOOST_TEST(whole_number("010") == 10);
  BOOST_TEST(whole_number("+7") == 7);
  BOOST_TEST(whole_number("-7") == -7);

  const RealRange above{.above = 0};
  for (const char* word : {"", "word", "1,5", "0x1p3", " 1", "1 ", "1e"})
    BOOST_TEST(number_problem(word, above).starts_with("expected a number, found \""), word);
  for (const char* word : {"nan", "-nan", "inf", "-inf", "1e400", "-1e400"})
    BOOST_TEST(number_problem(word, above).starts_with("must be a finite number, is "), word);
  BOOST_TEST(number_problem("0", above) == "must be above 0, is 0");
  BOOST_TEST(number_problem("1e-400", above) == "must be above 0, is 0");
  for (const char* word : {"1", "+0.5", ".5", "1e-310"}) BOOST_TEST(number_problem(word, above) == "", word);
  BOOST_TEST(number("1e-3") == 1e-3);
}

BOOST_AUTO_TEST_CASE(the_limits_are_those_of_the_key) {
  BOOST_TEST(key_problem("generate.pieces", "0") == "must be at least 1, is 0");
  BOOST_TEST(key_problem("generate.bars", "65537") == "must be at most 65536, is 65537");
  BOOST_TEST(key_problem("generate.tempo", "9") == "must be at least 10, is 9");
  BOOST_TEST(key_problem("generate.context", "1.5") == "expected a whole number, found \"1.5\"");
  BOOST_TEST(key_problem("generate.temperature", "0.9") == "");
  BOOST_TEST(key_problem("generate.prime", "any word") == "");
}

BOOST_AUTO_TEST_CASE(paths_from_home) {
  const char* before = std::getenv("HOME");
  const std::string home = before ? before : "";
  setenv("HOME", "/home/me", 1);
  BOOST_TEST(with_home("~") == "/home/me");
  BOOST_TEST(with_home("~/midi") == "/home/me/midi");
  for (const char* path : {"", "midi", "./~/midi", "~you/midi", "a/~"}) BOOST_TEST(with_home(path) == path);
  const std::string blocks = "model.blocks = [{ kind = \"lstm_time\" }]\n";
  const Folder folder;
  const std::string file =
      folder.write("x.toml", blocks + "data.source = [\"~/midi\", \"own\"]\ngenerate.prime = \"~/p.mid\"");
  const Config config = load_config(file);
  BOOST_TEST(config.data.source == (std::vector<std::string>{"/home/me/midi", folder / "own"}),
             boost::test_tools::per_element());
  BOOST_TEST(config.generate.prime == "/home/me/p.mid");
  BOOST_TEST(load_config(file, {"data.source=~/other"}).data.source[0] == "/home/me/other");
  unsetenv("HOME");
  BOOST_TEST(message_of([&] { load_config(file); }) ==
             "cannot read ~/midi: ~ is the folder that $HOME names, which is not set");
  if (before) setenv("HOME", home.c_str(), 1);
}

BOOST_AUTO_TEST_CASE(axes_of_the_command_line) {
  const Folder folder;
  const std::string plain = folder.write("x.toml", "model.blocks = [{ kind = \"attention_notes\" }]");
  const auto labels = [](const std::string& file, const std::vector<std::string>& overrides) {
    std::vector<std::string> list;
    const Sweep sweep = load_sweep(file, overrides, "").value();
    for (const SweepRun& run : sweep.runs) list.push_back(run.label);
    return list;
  };
  using Texts = std::vector<std::string>;
  BOOST_TEST(labels(plain, {"sweep.axes.train.batch=[1, 2]"}) == (Texts{"batch 1", "batch 2"}));
  BOOST_TEST(labels(plain, {"sweep.axes.model.blocks[0].norm=['pre']", "sweep.axes.train.batch=[1, 2]"}) ==
             (Texts{"norm pre, batch 1", "norm pre, batch 2"}));
  const std::string swept = folder.write("s.toml",
                                         "extends = \"x.toml\"\n[sweep.axes]\ntrain.batch = [1, 2]\n"
                                         "\"train.epochs\" = [3]\n[sweep.axes.loss.harmony]\nweight = [0, 1]");
  BOOST_TEST(labels(swept, {}).size() == 4u);
  BOOST_TEST(labels(swept, {"sweep.axes.train.batch=[5]", "sweep.axes.train.epochs=[6]",
                            "sweep.axes.loss.harmony.weight=[7]"}) == (Texts{"batch 5, epochs 6, weight 7"}));
  const auto refused = [&](const std::string& file, const std::string& text) {
    return message_of([&] { load_sweep(file, {text}, ""); });
  };
  BOOST_TEST(refused(plain, "sweep.axes.train.batsh=[1]") ==
             "command line: sweep.axes.train.batsh=[1]: sweep.axes: unknown key \"train.batsh\": did you mean "
             "\"train.batch\"?");
  BOOST_TEST(refused(plain, "sweep.axes.train.batch=1") ==
             "command line: sweep.axes.train.batch=1: expected a list of the values to try, found the integer 1");
  BOOST_TEST(refused(plain, "sweep.axes.=[1]").starts_with("command line: sweep.axes.=[1]: "));
  const std::string several = folder.write("t.toml", "extends = \"x.toml\"\n[[sweep.axes]]\ntrain.batch = [1]");
  BOOST_TEST(refused(several, "sweep.axes.train.batch=[2]").find("several tables of axes (") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(memory_that_is_free) {
  const int64_t free = free_memory();
  BOOST_TEST(free > int64_t{1} << 20);
  BOOST_TEST(free < int64_t{1} << 50);
}

BOOST_AUTO_TEST_SUITE_END()
