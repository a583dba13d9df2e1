#include "experiments/config/config.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "experiments/config/toml.h"
#include "tests/support/config_files.h"

namespace {

using namespace poph;
using namespace poph::test;

// With the blocks that every experiment needs.
std::string problem_with_block(const std::string& text, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), "model.blocks=[{ kind = \"lstm_time\" }]");
  return problem(text, overrides);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config_errors)

BOOST_AUTO_TEST_CASE(unknown_keys) {
  BOOST_TEST(problem_with_block("seed = 1\n[train]\nbatch = 2\nepoch = 5") ==
             "x.toml:4: unknown key \"train.epoch\": did you mean \"train.epochs\"?");
  BOOST_TEST(problem_with_block("[trian]\nepochs = 5") == "x.toml:1: unknown key \"trian\": did you mean \"train\"?");
  BOOST_TEST(problem_with_block("epochs = 5") == "x.toml:1: unknown key \"epochs\": did you mean \"train.epochs\"?");
  BOOST_TEST(problem_with_block("\ntrain.window = 5") ==
             "x.toml:2: unknown key \"train.window\": did you mean \"data.window\"?");
  BOOST_TEST(problem_with_block("[harmony]\nweight = 1") ==
             "x.toml:1: unknown key \"harmony\": did you mean \"loss.harmony\"?");
  BOOST_TEST(problem_with_block("extend = \"a\"") == "x.toml:1: unknown key \"extend\": did you mean \"extends\"?");
  BOOST_TEST(
      // the first in the text, not in the alphabet
      problem_with_block("zz = 1\n[data]\naa = 1").starts_with("x.toml:1: "));
  BOOST_TEST(problem_with_block("\"data.window\" = 1").starts_with("x.toml:1: unknown key \"\"data.window\"\""));
  BOOST_TEST(problem_with_block("\"a\\nb\" = 1").find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(nearest_words) {
  BOOST_TEST(nearest("abcd", {"abxy", "bacd"}) == "bacd");  // two swapped letters are one mistake
  BOOST_TEST(nearest("data.note", {"loss.notes", "data.notes"}) == "data.notes");  // the right section counts
  BOOST_TEST(nearest("", {"seed"}) == "seed");
}

BOOST_AUTO_TEST_CASE(wrong_types) {
  BOOST_TEST(problem_with_block("[train]\nepochs = \"ten\"") ==
             "x.toml:2: train.epochs: expected an integer, found the string \"ten\"");
  BOOST_TEST(problem_with_block("[train]\nepochs = 5.0") ==
             "x.toml:2: train.epochs: expected an integer, found the number 5.0");
  BOOST_TEST(problem_with_block("train = 5") == "x.toml:1: train: expected a table, found the integer 5");
  BOOST_TEST(problem_with_block("[[train]]\nepochs = 1") == "x.toml:1: train: expected a table, found an array");
  BOOST_TEST(problem_with_block("[data.window]\nx = 1") == "x.toml:1: data.window: expected an integer, found a table");
  BOOST_TEST(problem_with_block("name = 5") == "x.toml:1: name: expected a string, found the integer 5");
  BOOST_TEST(problem_with_block("seed = 2020-01-01") == "x.toml:1: seed: expected an integer, found a date or time");
  BOOST_TEST(problem_with_block("data.sustain = 1") ==
             "x.toml:1: data.sustain: expected true or false, found the integer 1");
  BOOST_TEST(problem_with_block("train.learning_rate = true") ==
             "x.toml:1: train.learning_rate: expected a number, found the boolean true");
  BOOST_TEST(problem_with_block("data.split = \"non\"") ==
             "x.toml:1: data.split: expected a number, \"none\" or \"first_hex_digit\", found the string \"non\"");
  BOOST_TEST(problem_with_block("data.source = [\n\"a\",\n1]") ==
             "x.toml:3: data.source: expected a string or a list of strings, found the integer 1");
  BOOST_TEST(problem("model.blocks = 3") == "x.toml:1: model.blocks: expected a list of blocks, found the integer 3");
  BOOST_TEST(problem_with_block("data.channels = \"play\"") ==
             "x.toml:1: data.channels: expected a list of strings, found the string \"play\"");
}

BOOST_AUTO_TEST_CASE(impossible_values) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"seed = -1", "seed: must be at least 0, is -1"},
      {"train.batch = 0", "train.batch: must be at least 1, is 0"},
      {"train.epochs = 0", "train.epochs: must be at least 1, is 0"},
      {"train.patience = -1", "train.patience: must be at least 0, is -1"},
      {"train.batch = 1000001", "train.batch: must be at most 1000000, is 1000001"},
      {"train.learning_rate = 0", "train.learning_rate: must be above 0, is 0"},
      {"train.learning_rate = nan", "train.learning_rate: must be a finite number, is nan"},
      {"train.learning_rate = inf", "train.learning_rate: must be a finite number, is inf"},
      {"train.clip_norm = -1.5", "train.clip_norm: must be at least 0, is -1.5"},
      {"train.warmup_steps = -1", "train.warmup_steps: must be at least 0, is -1"},
      {"train.final_learning_rate = -0.1", "train.final_learning_rate: must be at least 0, is -0.1"},
      {"train.final_learning_rate = 1.5", "train.final_learning_rate: must be at most 1, is 1.5"},
      {"train.weight_decay = -1", "train.weight_decay: must be at least 0, is -1"},
      {"train.average = 1", "train.average: must be below 1, is 1"},
      {"train.average = -0.5", "train.average: must be at least 0, is -0.5"},
      {"model.dropout = 1", "model.dropout: must be below 1, is 1"},
      {"model.input_dropout = -0.1", "model.input_dropout: must be at least 0, is -0.1"},
      {"model.octave_units = 0", "model.octave_units: must be at least 1, is 0"},
      {"loss.harmony.weight = -0.1", "loss.harmony.weight: must be at least 0, is -0.1"},
      {"loss.harmony.span = 0", "loss.harmony.span: must be at least 1, is 0"},
      {"loss.harmony.span = 3", "loss.harmony.span = 3 does not divide data.window = 32"},
      {"data.window = 0", "data.window: must be at least 1, is 0"},
      {"data.stride = 0", "data.stride: must be at least 1, is 0"},
      {"data.notes = 0", "data.notes: must be at least 1, is 0"},
      {"data.notes = 129", "data.notes: must be at most 128, is 129"},
      {"data.notes = 93", "data.lowest_note = 36 and data.notes = 93 go beyond the highest MIDI note, 127"},
      {"data.lowest_note = 81", "data.lowest_note = 81 and data.notes = 48 go beyond the highest MIDI note, 127"},
      {"data.lowest_note = -1", "data.lowest_note: must be at least 0, is -1"},
      {"data.steps_per_quarter = 7", "data.steps_per_quarter = 7 does not divide 480, the ticks of a quarter note"},
      {"generate.bars = 32769\ndata.steps_per_quarter = 8",
       "generate.bars = 32769 of 32 steps each are more than the 1048576 steps a piece may have"},
      {"data.steps_per_quarter = 25", "data.steps_per_quarter: must be at most 24, is 25"},
      {"data.split = 1.0", "data.split: must be below 1, is 1"},
      {"data.split = -0.5", "data.split: must be at least 0, is -0.5"},
      {"data.transpose = -1", "data.transpose: must be at least 0, is -1"},
      {"data.source = []", "data.source: must name at least one file or folder"},
      {"data.source = \"\"", "data.source: an empty string is no path"},
      {"data.channels = [\"volume\"]", R"(data.channels: must be ["play", "replay", "volume"] or ["play"])"},
      {"generate.pieces = 0", "generate.pieces: must be at least 1, is 0"},
      {"generate.bars = 0", "generate.bars: must be at least 1, is 0"},
      {"generate.bars = 65537", "generate.bars: must be at most 65536, is 65537"},
      {"generate.temperature = 0.0", "generate.temperature: must be above 0, is 0"},
      {"generate.tempo = 9", "generate.tempo: must be at least 10, is 9"},
      {"generate.tempo = 1001", "generate.tempo: must be at most 1000, is 1001"},
      {"generate.most_notes = -1", "generate.most_notes: must be at least 0, is -1"},
      {"generate.particles = 0", "generate.particles: must be at least 1, is 0"},
      {"generate.keep = \"a.mid\"",
       "generate.keep: generate.keep_bars is not set: it says which bars are kept, such as \"1-8,13-16\""},
      {"generate.keep_bars = \"1-8\"",
       "generate.keep_bars: there is no file whose bars are kept: generate.keep names one, as --keep does beside "
       "--keep-bars"},
      {"generate.keep_bars = \"8-1\"\ngenerate.keep = \"a.mid\"",
       "generate.keep_bars: found \"8-1\", expected numbers of bars such as 1-8,13-16"},
      {"generate.keep_bars = \"1,0-2\"\ngenerate.keep = \"a.mid\"",
       "generate.keep_bars: bars are counted from 1, found 0"},
      {"generate.scale = \"H minor\"",
       "generate.scale = \"H minor\", expected one such as \"D minor\", \"C# major\" or \"C D E G A\""},
      {"generate.context = -1", "generate.context: must be at least 0, is -1"},
      {"model.styles = 1", "model.styles: expected a list of styles, found the integer 1"},
      {"model.styles = [1]",
       R"(model.styles[0]: expected a table such as { name = "bach", source = "music/bach" }, found the integer 1)"},
      {"model.styles = [{ name = \"a\" }]", "model.styles[0]: has no source"},
      {"model.styles = [{ source = \"a\" }]", "model.styles[0]: has no name"},
      {"model.styles = [{ name = \"a\", source = [] }]",
       "model.styles[0].source: must name at least one file or folder"},
      {"model.styles = [{ name = \"a\", source = \"\" }]", "model.styles[0].source: an empty string is no path"},
      {"model.styles = [{ name = \"a\", path = \"b\" }]",
       "model.styles[0]: unknown key \"path\", expected name and source"},
      {"model.styles = [{ name = \"a=1\", source = \"b\" }]",
       "model.styles[0].name: \"a=1\" is no name for a style: expected 1 to 100 characters, none of , = \" \\ and no "
       "space at either end"},
      {"model.styles = [{ name = \"a\", source = \"b\" }, { name = \"a\", source = \"c\" }]",
       "model.styles[1].name: two styles are named \"a\""},
      {"model.style_units = 0", "model.style_units: must be at least 1, is 0"},
      {"model.styles_units = 1",
       "unknown key \"model.styles_units\": model.styles is set as a whole, as a list of tables"},
      {"generate.style = \"a\"",
       "generate.style: expected shares of styles such as { bach = 0.7, satie = 0.3 }, found the string \"a\""},
      {"generate.style = { a = 1 }", "generate.style: this model has no styles: model.styles is an empty list"},
      {"name = \"\"", "name: \"\" cannot name a folder: it is empty"},
      {"name = \"..\"", "name: \"..\" cannot name a folder: it starts with a dot, a dash or a space"},
      {"name = \"a/b\"", "name: \"a/b\" cannot name a folder: it has a slash, a backslash or a control character"},
      {"name = \"a\\nb\"", "name: \"a\\nb\" cannot name a folder: it has a slash, a backslash or a control character"},
  };
  for (const auto& [line, message] : cases) BOOST_TEST(problem_with_block("\n" + line) == "x.toml:2: " + message);
  const std::vector<std::pair<std::string, std::string>> of_styles = {
      {"generate.style = { a = 0.5, c = 0.5 }",
       "generate.style: found the style \"c\", expected some of a, b c: did you mean \"a\"?"},
      {"generate.style = { a = 0.5 }", "generate.style: the shares sum to 0.5, expected 1"},
      {"generate.style = { a = 1, \"b c\" = 1e-5 }", "generate.style: the shares sum to 1.00001, expected 1"},
      {"generate.style = { a = 1.5, \"b c\" = -0.5 }", "generate.style.a: must be at most 1, is 1.5"},
      {"generate.style = { \"b c\" = -0.5 }", "generate.style.b c: must be at least 0, is -0.5"},
      {"generate.style = { a = nan }", "generate.style.a: must be a finite number, is nan"},
      {"generate.style = { a = \"all\" }", "generate.style.a: expected a number, found the string \"all\""},
  };
  const std::string styles = R"(model.styles=[{ name = "a", source = "x" }, { name = "b c", source = "y" }])";
  for (const auto& [line, message] : of_styles)
    BOOST_TEST(problem_with_block("\n" + line, {styles}) == "x.toml:2: " + message);
  BOOST_TEST(problem_with_block("\ngenerate.style = { a = 0.25, \"b c\" = 0.75 }", {styles}) == "no error");
  BOOST_TEST(
      problem_with_block("name = \"" + std::string(101, 'a') + "\"").ends_with("it is longer than 100 characters"));
  BOOST_TEST(problem(one_block + "\n[[model.styles]]\nname = \"x\"").ends_with(": model.styles[0]: has no source"));
  BOOST_TEST(problem_with_block("\n[sweep]\nmethod = \"grid\"") ==
             "x.toml:3: unknown key \"sweep.method\": did you mean \"sweep.mode\"?");
  BOOST_TEST(problem_with_block("\n[sweep]\nmode = \"grid\"") == "x.toml:3: sweep.mode: a sweep is not one experiment");
  // Two keys at odds: the override is to blame, or else the nearer to the mistake.
  BOOST_TEST(problem_with_block("loss.harmony.span = 4\ndata.window = 10") ==
             "x.toml:1: loss.harmony.span = 4 does not divide data.window = 10");
  BOOST_TEST(problem_with_block("loss.harmony.span = 4", {"data.window=10"}) ==
             "command line: data.window=10: loss.harmony.span = 4 does not divide data.window = 10");
}

BOOST_AUTO_TEST_CASE(limits_themselves_are_possible) {
  for (const char* line :
       {"data.notes = 92", "data.lowest_note = 80", "data.split = 0", "model.dropout = 0", "model.dropout = 0.999",
        "data.steps_per_quarter = 24", "data.steps_per_quarter = 1", "loss.harmony.span = 32", "generate.tempo = 10",
        "generate.tempo = 1000", "seed = 0", "generate.temperature = 1e-3", "model.styles = []", "data.transpose = 0",
        "generate.style = {}"})
    BOOST_TEST(problem_with_block(line) == "no error", line);
  BOOST_TEST(problem_with_block("data.lowest_note = 0\ndata.notes = 128") == "no error");
}

BOOST_AUTO_TEST_CASE(words_that_are_no_choice) {
  BOOST_TEST(
      problem_with_block("\ntrain.optimizer = \"adm\"") ==
      "x.toml:2: train.optimizer: \"adm\" is none of \"nadam\", \"adam\", \"adamw\", \"sgd\": did you mean \"adam\"?");
  BOOST_TEST(problem_with_block("train.precision = \"fp32\"") ==
             "x.toml:1: train.precision: \"fp32\" is none of \"float32\", \"tf32\", \"bf16\": did you mean \"tf32\"?");
  BOOST_TEST(problem_with_block("model.note_order = \"ascend\"").ends_with("did you mean \"ascending\"?"));
  BOOST_TEST(problem_with_block("loss.notes = 1") == "x.toml:1: loss.notes: expected a string, found the integer 1");
}

BOOST_AUTO_TEST_CASE(blocks_that_cannot_be) {
  const auto blocks = [](const std::string& text) {
    return problem("[model]\nblocks = [\n{ kind = \"lstm_time\" },\n" + text + "\n]");
  };
  BOOST_TEST(problem("model.blocks = []") == "x.toml:1: model.blocks: must list at least one block");
  std::string kinds;
  for (const BlockKindInfo& info : block_kinds) kinds += joined(kinds.empty() ? "" : ", ", '"', info.name, '"');
  BOOST_TEST(blocks("{ kind = \"lstm\" }") ==
             "x.toml:4: model.blocks[1].kind: \"lstm\" is none of " + kinds + ": did you mean \"lstm_time\"?");
  BOOST_TEST(blocks("{ units = 3 }") == "x.toml:4: model.blocks[1]: has no kind");
  BOOST_TEST(blocks("{ kind = 3 }") == "x.toml:4: model.blocks[1].kind: expected a string, found the integer 3");
  BOOST_TEST(
      blocks("\"lstm_time\"") ==
      "x.toml:4: model.blocks[1]: expected a table such as { kind = \"lstm_time\" }, found the string \"lstm_time\"");
  BOOST_TEST(blocks("{ kind = \"attention_notes\", layers = 2 }") ==
             "x.toml:4: model.blocks[1]: layers is no key of attention_notes, which has kind, heads, head_dim, "
             "residual, norm, "
             "feed_forward, query_gate, scale, dropout, mask");
  BOOST_TEST(blocks("{ kind = \"lstm_notes\", heads = 2 }") ==
             "x.toml:4: model.blocks[1]: heads is no key of lstm_notes, which has kind, layers, units");
  BOOST_TEST(blocks("{ kind = \"attention_notes\", head = 2 }") ==
             "x.toml:4: model.blocks[1]: unknown key \"head\": did you mean \"heads\"?");
  BOOST_TEST(blocks("{ kind = \"attention_notes\", heads = 0 }") ==
             "x.toml:4: model.blocks[1].heads: must be at least 1, is 0");
  BOOST_TEST(blocks("{ kind = \"attention_notes\", head_dim = 0 }") ==
             "x.toml:4: model.blocks[1].head_dim: must be at least 1, is 0");
  BOOST_TEST(blocks("{ kind = \"attention_notes\", dropout = 1 }") ==
             "x.toml:4: model.blocks[1].dropout: must be below 1, is 1");
  BOOST_TEST(blocks("{ kind = \"lstm_time\", layers = 0 }") ==
             "x.toml:4: model.blocks[1].layers: must be at least 1, is 0");
  BOOST_TEST(blocks("{ kind = \"lstm_time\", units = 0 }") ==
             "x.toml:4: model.blocks[1].units: must be at least 1, is 0");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "{ kind = \"lstm_time\" },\n";
  BOOST_TEST(blocks(many) == "x.toml:2: model.blocks: lists 1001 blocks, more than 1000");
}

BOOST_AUTO_TEST_CASE(missing_files_and_cycles) {
  const Folder folder;
  BOOST_TEST(file_problem(folder / "no.toml") == "cannot read " + (folder / "no.toml") + ": No such file or directory");
  BOOST_TEST(file_problem(folder.path.string()) == "cannot read " + folder.path.string() + ": Is a directory");
  const std::string lost = folder.write("lost.toml", "seed = 1\nextends = \"no.toml\"");
  BOOST_TEST(file_problem(lost) ==
             lost + ":2: extends: cannot read " + (folder / "no.toml") + ": No such file or directory");
  const std::string a = folder.write("a.toml", "extends = \"b.toml\"");
  const std::string b = folder.write("b.toml", "\nextends = \"sub/../c.toml\"");
  const std::string c = folder.write("c.toml", "\n\nextends = \"a.toml\"");
  BOOST_TEST(file_problem(a) == c + ":3: extends: a cycle: " + a + " -> " + b + " -> " + c + " -> " + a);
  const std::string own = folder.write("own.toml", "extends = \"own.toml\"");
  BOOST_TEST(file_problem(own) == own + ":1: extends: a cycle: " + own + " -> " + own);
  const std::string wrong = folder.write("wrong.toml", "extends = [\"a.toml\"]");
  BOOST_TEST(file_problem(wrong) == wrong + ":1: extends: expected a string, found an array");
  const std::string empty = folder.write("empty.toml", "extends = \"\"");
  BOOST_TEST(file_problem(empty) == empty + ":1: extends: names no file");
  // Anything but a regular file could wait or go on without end.
  const std::string device = folder.write("device.toml", "extends = \"/dev/zero\"");
  BOOST_TEST(file_problem(device) == device + ":1: extends: cannot read /dev/zero: a device, not a regular file");
  const std::string odd = folder.write("odd.toml", "extends = \"a\\tb\"");
  BOOST_TEST(file_problem(odd) ==
             odd + ":1: extends: cannot read " + (folder / "a\\x09b") + ": No such file or directory");
  for (int i = 0; i < 101; ++i) folder.write(joined(i, ".toml"), joined("extends = \"", i + 1, ".toml\""));
  folder.write("101.toml", one_block);
  BOOST_TEST(file_problem(folder / "2.toml") == "no error");
  BOOST_TEST(file_problem(folder / "1.toml") == (folder / "100.toml") + ":1: extends: a chain of more than 100 files");
  const std::string bare = folder.write("bare.toml", "seed = 1");
  BOOST_TEST(file_problem(bare) == bare + ": model.blocks is not set: it lists what the model is made of");
}

BOOST_AUTO_TEST_CASE(text_that_is_not_toml) {
  BOOST_TEST(problem("seed = 4\xC2\xA2") ==
             "x.toml:1: a letter beyond ASCII outside strings and comments, or behind a backslash");
  BOOST_TEST(problem("name = \"\"\"\\\n \xC2\xA2\"\"\"").starts_with("x.toml:1: a letter"));
  BOOST_TEST(problem("# \xC2\xA2\nname = \"\xC2\xA2\" # \xC2\xA2\n" + one_block + "\xC3\xA9 = 1")
                 .starts_with("x.toml:4: a letter"));
  BOOST_TEST(problem("\xEF\xBB\xBF" + one_block) == "no error");
  BOOST_TEST(problem(one_block, {"generate.prime=caf\xC3\xA9.mid"}) == "no error");
  // A quote opens a string where a key's part or a value begins, and nowhere else: within a number it is one of its
  // letters.
  for (const char* number :
       {"1.'\xC2\xA2'", "1='\xC2\xA2'", "1\"\xC2\xA2\"", "[1['\xC2\xA2'", "[1.'\xC2\xA2']", "[\n1={'\xC2\xA2'",
        "{a = 1='\xC2\xA2'}", "[{a.b = {}, c = 1.'\xC2\xA2'}]", "{a = []'\xC2\xA2'", "{a = [], b = 1.'\xC2\xA2'"})
    BOOST_TEST(problem(joined("seed = ", number)).find(": a letter beyond ASCII") != std::string::npos, number);
  for (const char* text :
       {"'\xC2\xA2' = 1", "a.'\xC2\xA2' = 1", "a . \"\xC2\xA2\" = 1", "['\xC2\xA2']", "[a.'\xC2\xA2']",
        "[[ '\xC2\xA2' ]]", "a = 1.5\n'\xC2\xA2' = 1", "a='\xC2\xA2'", "a = {b = [], '\xC2\xA2' = {}, c = '\xC2\xA2'}",
        "a = [\n1,\n'''\n\xC2\xA2''',\n]",
        "a = [1, '\xC2\xA2', ['\xC2\xA2'], {'\xC2\xA2' = '\xC2\xA2', b.'\xC2\xA2' = [ \"\xC2\xA2\"]}, '\xC2\xA2']"})
    BOOST_TEST(problem(text).find(": a letter beyond ASCII") == std::string::npos, text);
  BOOST_TEST(problem("seed = 1\ntrain = {\n").starts_with("x.toml:2:"));
  BOOST_TEST(problem("seed = \n").starts_with("x.toml:1:8: "));
  BOOST_TEST(problem("seed = 1\nseed = 2").starts_with("x.toml:2:"));
  BOOST_TEST(problem("name = \"\xff\"").starts_with("x.toml:1:"));
  // These break an assertion inside toml++, which must not abort the program.
  for (const char* header : {"[\n", "[[=", "[[[1]]]", "[[[]]"})
    BOOST_TEST(problem(header).starts_with("x.toml:1:"), header);
}

// Each of these must end in one line, not in a crash or in minutes.
BOOST_AUTO_TEST_CASE(hostile_text) {
  const auto repeated = [](const std::string& part, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += part;
    return text;
  };
  const std::string dots = "x.toml:2: more than 32 dots outside strings in one line";
  BOOST_TEST(problem("\na" + repeated(".a", 300000) + " = 1") == dots);
  BOOST_TEST(problem("\n[a" + repeated(".a", 300000) + "]") == dots);
  BOOST_TEST(problem("\nx = [\"\"\"a\"\"\"\"\", { a" + repeated(".a", 300000) + " = 1 }]") == dots);
  BOOST_TEST(problem("\nx = [\"\"\"a\"\"\"\", { a" + repeated(".a", 300000) + " = 1 }]") == dots);
  BOOST_TEST(problem("\nx = ['''a''', { \"\\\"\".a" + repeated(".a", 300000) + " = 1 }]") == dots);
  BOOST_TEST(problem("x = \"\"\"\n\"\"\" # \" '\na" + repeated(".a", 300000) + " = 1") ==
             "x.toml:3: more than 32 dots outside strings in one line");
  BOOST_TEST(problem("x = " + repeated("[", 100000)).starts_with("x.toml:1:"));
  BOOST_TEST(problem("x = " + repeated("{a=", 100000)).starts_with("x.toml:1:"));
  BOOST_TEST(problem("x = " + repeated("[{a.a.a.a.a.a.a.a.a=\n", 100000)).starts_with("x.toml:"));
  BOOST_TEST(problem(repeated("k", 500000) + " = 1").size() < 300u);
  BOOST_TEST(problem_with_block("train.epochs = \"" + repeated("k\\n", 100000) + "\"").size() < 300u);
  // dots of a string are harmless
  BOOST_TEST(problem("seed = '" + repeated(".", 100) + "'").find("dots") == std::string::npos);
  BOOST_TEST(problem("#" + repeated(".", 100) + "\n" + one_block) == "no error");
  BOOST_TEST(problem("seed = [\n" + repeated("0.5,\n", 100) + "]").find("dots") ==
             std::string::npos);  // nor are those of many lines
  BOOST_TEST(problem("\"\\") != "no error");
  BOOST_TEST(problem("\"\"\"") != "no error");

  const Folder folder;
  const std::string huge = folder.write("huge.toml", repeated("# 4567\n", 200000));
  BOOST_TEST(file_problem(huge) == "cannot read " + huge + ": it has 1400000 bytes, expected at most 1048576");
}

BOOST_AUTO_TEST_CASE(a_file_whose_name_is_no_folder_name) {
  const Folder folder;
  const std::string file = folder.write("-x.toml", one_block);
  BOOST_TEST(file_problem(file) ==
             file + ": name: \"-x\" cannot name a folder: it starts with a dot, a dash or a space");
}

BOOST_AUTO_TEST_SUITE_END()
