#include "data/reading/composed.h"

#include <boost/test/unit_test.hpp>

#include "tests/support/corpus_folder.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

Bytes composed_piece(uint64_t seed) {
  Random random{seed};
  return encode(random_roll(random, 40, 48, 24), {.text = composed_text});
}

void make_run_folder(const std::string& path, bool begun = true) {
  write_bytes(path + "/samples/piece_1.mid", random_piece(90));  // of an earlier version: without the mark
  write_bytes(path + (begun ? "/run.lock" : "/run.json"), {});
  if (!begun) write_bytes(path + "/config.toml", {});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(composed)

BOOST_AUTO_TEST_CASE(the_mark_changes_no_music) {
  const Bytes plain = random_piece(1), marked = composed_piece(1);
  BOOST_TEST(marked.size() == plain.size() + 20);
  BOOST_TEST(is_marked_as_composed(marked));
  BOOST_TEST(!is_marked_as_composed(plain));
  BOOST_TEST((decode(parse_midi(marked), {}) == decode(parse_midi(plain), {})));
  BOOST_TEST((parse_midi(marked).damage == Damage::none));
  BOOST_TEST(!is_marked_as_composed({}));
}

BOOST_AUTO_TEST_CASE(what_poph_composed_is_not_read) {
  const Folder folder;
  for (int i = 0; i < 3; ++i) write_bytes(folder / joined("music/", i, ".mid"), random_piece(static_cast<uint64_t>(i)));
  const auto read = [&](const std::string& source) { return load_corpus(corpus_of({source})); };
  const Corpus before = read(folder.path.string());
  BOOST_TEST(before.remarks.empty());
  make_run_folder(folder / "runs/a");
  make_run_folder(folder / "runs/s/b-1", false);
  write_bytes(folder / "composed/piece_1.mid", composed_piece(91));
  write_bytes(folder / "mine.mid", composed_piece(92));
  const Corpus after = read(folder.path.string());
  BOOST_TEST(after.fingerprint == before.fingerprint);
  BOOST_TEST(after.files == 3);
  BOOST_TEST(after.left_out == 2);
  BOOST_TEST(after.skipped.empty());
  BOOST_REQUIRE_EQUAL(after.remarks.size(), 1u);
  const std::string remark = after.remarks[0];
  BOOST_TEST(
      (remark.starts_with("left out, because PopH composed it: 2 folders of runs, such as " + (folder / "runs/"))),
      remark);
  BOOST_TEST(remark.ends_with(", and 2 files, such as " + (folder / "composed/piece_1.mid")), remark);

  // An archive is read as the folder, but knows no folders of runs.
  write_bytes(folder / "a.tar", archive_of("tar", {{"a.mid", random_piece(1)}, {"b.mid", composed_piece(2)}}));
  BOOST_TEST(read(folder / "a.tar").left_out == 1);
  BOOST_TEST(read(folder / "a.tar").files == 1);

  // Where there is nothing else, that is an error; whoever names a file means it.
  BOOST_TEST(corpus_error(corpus_of({folder / "composed"})) ==
             "data: found no music; left out, because PopH composed it: 1 file, " + (folder / "composed/piece_1.mid") +
                 "; a file that is named itself is read");
  BOOST_TEST(corpus_error(corpus_of({folder / "runs"})).find("found no MIDI files") != std::string::npos);
  BOOST_TEST(corpus_error(corpus_of({folder / "runs"})).find("what PopH composed is not read") != std::string::npos);
  BOOST_TEST(read(folder / "composed/piece_1.mid").files == 1);
  BOOST_TEST(read(folder / "runs/a/samples").files == 1);
}

BOOST_AUTO_TEST_CASE(a_cache_keeps_what_is_left_out) {
  const Folder folder;
  write_bytes(folder / "a.tar", archive_of("tar", {{"a.mid", random_piece(1)}, {"b.mid", composed_piece(2)}}));
  CorpusSettings settings = corpus_of({folder / "a.tar"});
  settings.cache = {folder / "cache", 1, 1};
  for (const char* found : {"cache: keeps what was read", "cache: 2 files of "}) {
    const Corpus corpus = load_corpus(settings);
    BOOST_TEST(corpus.left_out == 1);
    BOOST_TEST(corpus.files == 1);
    BOOST_TEST(corpus.remarks[0].starts_with(found), corpus.remarks[0]);
  }
}

BOOST_AUTO_TEST_SUITE_END()
