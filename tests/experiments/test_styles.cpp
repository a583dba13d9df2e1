#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <set>

#include "data/batches.h"
#include "experiments/config/config.h"
#include "experiments/config/styles.h"
#include "experiments/train/style_likelihoods.h"
#include "experiments/workspace/corpus_settings.h"
#include "tests/support/corpus_folder.h"
#include "tests/support/tiny_training.h"

// Styles (MODEL.md "Styles"): their music, their mixtures and their likelihoods. That the model computes what it should
// is in the tests of all tiny models and of the golden cases.
namespace {

using namespace poph;
using namespace poph::test;

const std::vector<Style> three{{"bach", {"a"}}, {"erik satie", {"b"}}, {"x", {"c"}}};

Config in_styles(const std::string& rest = "") {
  return parse_config(
      R"(model.blocks = [{ kind = "lstm_time" }]
model.styles = [{ name = "bach", source = "a" }, { name = "satie", source = ["b", "bundled"] }]
)" + rest,
      "x.toml", {}, "/corpus");
}

// Twenty pieces of each of two styles in folders of their own.
struct Music {
  Folder folder;
  CorpusSettings settings;

  Music() {
    for (int i = 0; i < 20; ++i)
      for (const char* style : {"a", "b"}) write(style, i, static_cast<uint64_t>(2 * i + (*style == 'b')));
    settings.styles = {{"first", {folder / "a"}}, {"second", {folder / "b"}}};
    settings.held_out = 0.2;
    settings.threads = 2;
  }
  void write(const std::string& style, int number, uint64_t seed) const {
    write_bytes(folder / (style + "/" + std::to_string(number) + ".mid"), random_piece(seed));
  }
};

std::vector<std::string> names_of(const std::vector<Piece>& pieces, int64_t style) {
  std::vector<std::string> names;
  for (const Piece& piece : pieces)
    if (Corpus::style_of(piece) == style) names.push_back(piece.name);
  return names;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(styles)

// ---- Words and mixtures ----

BOOST_AUTO_TEST_CASE(words_become_shares) {
  for (const char* words : {"bach=0.7,erik satie=0.3", " bach = 0.7 , erik satie=.3"}) {
    BOOST_TEST(style_words_problem(words) == "");
    const std::vector<StyleShare> shares = parse_style_words(words);
    BOOST_TEST(mixture_problem(shares, three) == "");
    BOOST_TEST(mixture_of(shares, three) == (std::vector<double>{0.7, 0.3, 0}), boost::test_tools::per_element());
    BOOST_TEST(mixture_line(shares, three, "--style") == "style: bach 0.7, erik satie 0.3");
  }
  BOOST_TEST(mixture_of(parse_style_words("x"), three) == (std::vector<double>{0, 0, 1}),
             boost::test_tools::per_element());
  BOOST_TEST(mixture_of({}, three) == std::vector<double>(3, 1.0 / 3), boost::test_tools::per_element());
  BOOST_TEST(mixture_of({}, {}).empty());
  BOOST_TEST(mixture_line({}, three, "--style") ==
             "style: bach 0.3333, erik satie 0.3333, x 0.3333 (equal shares; --style chooses others)");
  BOOST_TEST(mixture_line({}, {}, "--style") == "");
  BOOST_TEST(mixture_problem({}, {}) == "");
  BOOST_TEST(mixture_problem(parse_style_words("bach=0.333333,erik satie=0.333333,x=0.333334"), three) == "");
}

BOOST_AUTO_TEST_CASE(words_that_are_no_mixture) {
  const std::string expected = ", expected the name of a style, or shares such as bach=0.7,satie=0.3";
  for (const char* words : {"", " ", "=1", "bach=", "bach=0.5,", "bach=0.5,,x=0.5", "bach,x"})
    BOOST_TEST(style_words_problem(words) == "found \"" + std::string(words) + "\"" + expected);
  for (const auto& [words, message] :
       std::vector<std::pair<std::string, std::string>>{{"bach=1.5", "bach: must be at most 1, is 1.5"},
                                                        {"bach=-0.1,x=1", "bach: must be at least 0, is -0.1"},
                                                        {"bach=nan", "bach: must be a finite number, is nan"},
                                                        {"bach=inf", "bach: must be a finite number, is inf"},
                                                        {"x=1,bach=a", "bach: expected a number, found \"a\""},
                                                        {"bach=0.5=0.5", "bach: expected a number, found \"0.5=0.5\""}})
    BOOST_TEST(style_words_problem(words) == message);
  for (const auto& [words, message] : std::vector<std::pair<std::string, std::string>>{
           {"bahc", "found the style \"bahc\", expected some of bach, erik satie, x: did you mean \"bach\"?"},
           {"bach=0.5,x=0.4", "the shares sum to 0.9, expected 1"},
           {"bach=0", "the shares sum to 0, expected 1"},
           {"bach=0.5,bach=0.5", "found the style \"bach\" twice"}})
    BOOST_TEST(mixture_problem(parse_style_words(words), three) == message);
  BOOST_TEST(mixture_problem({{"bach", 1}}, {}) == "this model has no styles: model.styles is an empty list");
}

// ---- Experiments ----

BOOST_AUTO_TEST_CASE(sources_are_relative_to_the_file_that_says_them) {
  const Folder folder;
  std::filesystem::create_directories(folder / "in");
  write_plainly(folder / "in/base.toml", R"(model.blocks = [{ kind = "lstm_time" }]
model.styles = [{ name = "a", source = "music/a" }, { name = "b", source = ["../b.mid", "/c", "bundled"] }])");
  write_plainly(folder / "x.toml", "extends = \"in/base.toml\"");
  const Config config = load_config(folder / "x.toml", {}, "/corpus");
  BOOST_TEST(config.model.styles == 2);
  BOOST_TEST(config.data.styles[0].source == std::vector<std::string>{folder / "in/music/a"},
             boost::test_tools::per_element());
  BOOST_TEST(config.data.styles[1].source == (std::vector<std::string>{folder / "b.mid", "/c", "bundled"}),
             boost::test_tools::per_element());
  BOOST_TEST(
      corpus_settings(config, 1).styles[1].sources == (std::vector<std::string>{folder / "b.mid", "/c", "/corpus"}),
      boost::test_tools::per_element());
  const std::string there = to_toml(config, folder / "in");
  BOOST_TEST(there.find("{ name = \"b\", source = [\"../b.mid\", \"/c\", \"bundled\"] },") != there.npos);
  BOOST_TEST(as_written(config).data.styles[0].source[0] == "music/a");
  const Config again = parse_config(to_toml(config), "x.toml");
  BOOST_TEST(differing_keys(config, again).empty());
  BOOST_TEST(to_toml(again) == to_toml(config));
  // an override is relative to the working folder
  const Config other = load_config(folder / "x.toml", {R"(model.styles=[{ name = "a", source = "y" }])"});
  BOOST_TEST(other.data.styles[0].source[0] == std::filesystem::absolute("y").string());
  BOOST_TEST(other.model.styles == 1);
}

BOOST_AUTO_TEST_CASE(names_and_sources_tell_experiments_apart) {
  const Config was = in_styles();
  Config now = was;
  now.data.styles[0].name = "liszt";
  BOOST_TEST(differing_keys(was, now) ==
                 std::vector<std::string>{"model.styles: was [\"bach\", \"satie\"], now [\"liszt\", \"satie\"]"},
             boost::test_tools::per_element());
  now = was;
  now.data.styles[1].source = {"b"};
  BOOST_TEST(differing_keys(was, now) ==
                 std::vector<std::string>{"model.styles[1].source: was [\"b\", \"bundled\"], now \"b\""},
             boost::test_tools::per_element());
  const std::vector<std::string> generated =
      differing_keys(was, in_styles("generate.style = { satie = 1 }"), may_change_on_resume(was, was));
  BOOST_TEST(generated.empty());
}

// ---- Music ----

BOOST_AUTO_TEST_CASE(each_style_is_split_by_itself) {
  const Music music;
  const Corpus corpus = load_corpus(music.settings);
  BOOST_TEST(corpus.styles == (std::vector<std::string>{"first", "second"}), boost::test_tools::per_element());
  CorpusSettings alone = music.settings;
  alone.styles.clear();
  for (int64_t style : {0, 1}) {
    BOOST_TEST(names_of(corpus.valid, style).size() == 4u);
    BOOST_TEST(names_of(corpus.train, style).size() == 16u);
    alone.sources = music.settings.styles[style].sources;
    const Corpus own = load_corpus(alone);
    BOOST_TEST(names_of(corpus.valid, style) == names_of(own.valid, -1), boost::test_tools::per_element());
    BOOST_TEST(names_of(corpus.train, style) == names_of(own.train, -1), boost::test_tools::per_element());
  }
  for (const Piece& piece : corpus.train) BOOST_TEST(piece.style.size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_fingerprint_knows_whose_pieces_they_are) {
  const Music music;
  CorpusSettings swapped = music.settings, renamed = music.settings, together = music.settings;
  std::swap(swapped.styles[0].sources, swapped.styles[1].sources);
  renamed.styles[0].name = "other";
  together.styles.clear();
  together.sources = {music.folder / "a", music.folder / "b"};
  const std::string own = load_corpus(music.settings).fingerprint;
  BOOST_TEST(load_corpus(swapped).fingerprint != own);
  BOOST_TEST(load_corpus(together).fingerprint != own);
  BOOST_TEST(load_corpus(renamed).fingerprint == own);  // names are settings
  std::filesystem::rename(music.folder / "a/3.mid", music.folder / "b/33.mid");
  BOOST_TEST(load_corpus(music.settings).fingerprint != own);
  BOOST_TEST(load_corpus(together).fingerprint == load_corpus(together).fingerprint);
}

BOOST_AUTO_TEST_CASE(what_two_styles_hold_counts_for_the_first) {
  const Music music;
  music.write("b", 77, 0);  // a/0.mid
  music.write("b", 78, 2);  // a/1.mid
  const Corpus corpus = load_corpus(music.settings);
  BOOST_TEST(names_of(corpus.train, 1).size() + names_of(corpus.valid, 1).size() == 20u);
  BOOST_TEST(corpus.files == 40);
  BOOST_TEST(corpus.left_out == 0);
  BOOST_TEST(corpus.remarks ==
                 std::vector<std::string>{"style second: 2 pieces are left out, which earlier styles hold too, such as "
                                          "77.mid of style first"},
             boost::test_tools::per_element());
  CorpusSettings same = music.settings;
  same.styles[1].sources = same.styles[0].sources;
  BOOST_TEST(corpus_error(same) ==
             "data: style second: found no piece of its own, expected at least one: all of 20 are those of earlier "
             "styles, such as 0.mid of style first");
  write_bytes(music.folder / "c/silent.mid", encode(Roll(48, 24)));
  same.styles[1].sources = {music.folder / "c"};
  BOOST_TEST(corpus_error(same).starts_with(
      "data: style second: found no piece of its own, expected at least one; silent.mid: "));
  same.styles[1].sources = {music.folder / "nowhere"};
  BOOST_TEST(corpus_error(same).ends_with("nowhere: no such file or folder"));
}

// ---- Batches ----

BOOST_AUTO_TEST_CASE(every_step_of_a_batch_has_the_style_of_its_piece) {
  ModelSettings model = tiny_settings({lstm_block(BlockKind::lstm_time)}, 12);
  model.styles = 3;
  const std::vector<Piece> pieces = pieces_for(model, {tune(11, 0), tune(7, 1), tune(5, 2)});
  const LaneBatches lanes(pieces, {.window = 4, .columns = 2});
  const BatchLayout layout{.steps = 4, .columns = 2, .notes = 12, .styles = 3, .begins = true, .weights = true};
  std::set<int64_t> seen;
  int64_t absent = 0;
  for (int64_t number = 0; number < lanes.count(); ++number) {
    Batch part = layout.make();
    lanes.fill(part, 1, number, 0);
    const std::vector<double> shares = part.style.values();
    for (int64_t lane : {0, 1})
      for (const LaneBatches::Run& run : lanes.runs(1, number, lane))
        for (int64_t t = run.at; t < run.at + run.count; ++t)
          for (int64_t style = 0; style < 3; ++style) {
            BOOST_TEST(shares[(t * 2 + lane) * 3 + style] == (run.piece == style ? 1 : 0));
            if (run.piece < 0) ++absent;
            if (run.piece >= 0) seen.insert(run.piece);
          }
  }
  BOOST_TEST(seen.size() == 3u);
  BOOST_TEST(absent > 0);

  const Windows windows(pieces, 4, 4, 4);
  const Batch some = windows.batch(std::vector<int64_t>{0, 3, 5}, 3, Dtype::f64);
  const std::vector<double> shares = some.style.values();
  for (int64_t t = 0; t < 4; ++t)
    for (int64_t b = 0; b < 3; ++b)  // a window of each piece
      for (int64_t style = 0; style < 3; ++style) BOOST_TEST(shares[(t * 3 + b) * 3 + style] == (b == style ? 1 : 0));

  std::vector<Piece> others = pieces;
  others[1].style = {1};
  Batch part = layout.make();
  BOOST_TEST(message_of([&] {
               LaneBatches(others, {.window = 4, .columns = 2}).fill(part, 0, 1, 0);
             }).find("expected") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_model_of_styles_needs_their_shares) {
  ModelSettings model = tiny_settings({lstm_block(BlockKind::lstm_time)}, 12);
  model.styles = 2;
  const Biaxial biaxial(model, 1, Dtype::f64, Device::cpu);
  const Windows windows({tune(8, 0)}, 4, 4, 4);
  ForwardContext evaluation;
  BOOST_TEST(message_of([&] { biaxial(windows.batch(std::vector<int64_t>{0}, 3, Dtype::f64), evaluation); }) ==
             "model: a batch without shares of styles, expected 2 for each step");
}

// In training what a style adds is dropped out, too, with a mask of its own before that of the layer's outputs.
BOOST_AUTO_TEST_CASE(what_styles_add_is_as_written) {
  for (const BlockKind kind : {BlockKind::lstm_time, BlockKind::lstm_notes})
    for (const bool training : {false, true}) {
      Initializer init{.seed = 4, .dtype = Dtype::f64};
      LstmBlock block = LstmBlock::make(init, lstm_block(kind, 2, 3), 0.4, 5, 6);
      scramble_parameters(block, 40);
      const Tensor x = random_input({4, 2, 7, 5}, 90), style = random_input({4, 2, 6}, 91);
      ForwardContext context{.training = training, .seed = 8}, plain = context;
      context.style = Var(style);
      Var y(x);
      for (size_t layer = 0; layer < 2; ++layer) {
        const Linear& own = block.styles[layer].linear;
        const Var added = plain.dropout(tanh(linear(Var(style), own.weight, own.bias)), 0.4);
        y = add(y, reshape(added, {4, 2, 1, added.shape().last()}));
        y = block.layers[layer](y, block.axis, plain.output_dropout(0.4));
      }
      BOOST_TEST(relative_difference(block(Var(x), context).value(), y.value()) < 1e-13);
    }
}

// ---- Likelihoods ----

BOOST_AUTO_TEST_CASE(each_styles_pieces_are_scored_as_every_style) {
  ModelSettings settings = tiny_settings({lstm_block(BlockKind::lstm_time), lstm_block(BlockKind::lstm_notes)}, 12);
  settings.lowest_note = 60;
  settings.styles = 3;
  Biaxial model(settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  std::vector<Piece> pieces;
  for (const int64_t style : {1, 0, 1, 1, 0}) {  // none of the third
    pieces.push_back(tune(10 + 3 * std::ssize(pieces), std::ssize(pieces)));
    pieces.back().style = one_style(settings, style);
  }
  const auto rows = *style_likelihoods(model, pieces, three, 4);
  BOOST_TEST_REQUIRE(rows.size() == 2u);
  for (int64_t own : {0, 1}) {
    const StyleLikelihood& row = rows[own];
    std::vector<Piece> read;
    for (const Piece& piece : pieces)
      if (Corpus::style_of(piece) == own) read.push_back(piece);
    BOOST_TEST(row.name == three[own].name);
    BOOST_TEST(row.pieces == std::ssize(read));
    BOOST_TEST(row.steps == steps_of(read));
    BOOST_TEST(row.pieces_left_out == 0);
    std::vector<int64_t> best(read.size(), -1);
    std::vector<double> highest(read.size(), -1e300);
    for (int64_t as = 0; as <= 3; ++as) {
      for (Piece& piece : read) piece.style = as < 3 ? one_style(settings, as) : std::vector<double>(3, 1.0 / 3);
      const LogLikelihood expected = *log_likelihood(model, read, 4);
      const double found = as < 3 ? row.nats_per_step[as] : row.nats_per_step_equal;
      BOOST_TEST(found == expected.nats_per_step);
      for (size_t piece = 0; as < 3 && piece < read.size(); ++piece)
        if (expected.pieces[piece].all > highest[piece]) highest[piece] = expected.pieces[piece].all, best[piece] = as;
    }
    BOOST_TEST(row.recognised == std::count(best.begin(), best.end(), own));
  }
  const auto bounded = *style_likelihoods(model, pieces, three, 4, 20);
  BOOST_TEST(bounded[1].pieces == 1);  // of 10, 16 and 19 steps
  BOOST_TEST(bounded[1].pieces_left_out == 2);
  const std::vector<std::string> lines = style_likelihoods_text(bounded, three);
  BOOST_TEST(lines[1].starts_with("pieces of erik satie (1, 2 left out): -"));
  BOOST_TEST(lines[1].ends_with(" of 1 likeliest as its own"));
  BOOST_TEST(!style_likelihoods(model, pieces, three, 4, 1000, [](int64_t) { return true; }).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
