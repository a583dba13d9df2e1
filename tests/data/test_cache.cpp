#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <thread>

#include "data/files/file.h"
#include "data/files/sha256.h"
#include "data/reading/cache_entry.h"
#include "tests/support/corpus_folder.h"

using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

namespace {

struct Setting {
  Folder folder;
  std::string cache = folder / "cache", music = folder / "music", archive = folder / "music.tar.gz";
  std::map<std::string, Bytes> files = mixed_files(60);

  Setting() {
    std::vector<Entry> entries;
    for (const auto& [name, bytes] : files) {
      write_bytes(music + "/" + name, bytes);
      entries.push_back({name, bytes});
    }
    write_bytes(archive, archive_of("tar.gz", entries));
  }

  CorpusSettings of(const std::string& source) const {
    CorpusSettings settings = corpus_of({source});
    settings.cache = {cache, 50, int64_t{1} << 40};
    return settings;
  }
  std::vector<fs::path> entries() const {
    std::vector<fs::path> found;
    if (fs::exists(cache))
      for (const auto& entry : fs::directory_iterator(cache))
        if (entry.is_directory()) found.push_back(entry.path());
    return found;
  }
};

void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(2100)); }  // until changes of files will show

bool says(const Corpus& corpus, const std::string& what) {
  return std::any_of(corpus.remarks.begin(), corpus.remarks.end(),
                     [&](const std::string& line) { return line.find(what) != line.npos; });
}

bool from_cache(const Corpus& corpus) { return says(corpus, "as they were read before"); }

}  // namespace

BOOST_AUTO_TEST_SUITE(cache)

BOOST_AUTO_TEST_CASE(sha256) {
  Sha256 sha256;
  sha256.add("abc", 3);
  // FIPS 180-2, B.1
  BOOST_TEST(sha256.finish() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // of nothing: it began anew
  BOOST_TEST(sha256.finish() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

// Entries of another reading must not be used. Where this fails: raise reader_version, then put the new value here.
BOOST_AUTO_TEST_CASE(the_reader_version_is_that_of_this_reader) {
  Sha256 sha256;
  for (int i = 0; i < 200; ++i) {
    Random random{static_cast<uint64_t>(i)};
    Bytes file = random_piece(i, 30);
    for (int64_t flips = i % 4; flips > 0; --flips)
      file[random.below(std::ssize(file))] = static_cast<uint8_t>(random.below(256));
    try {
      const MidiFile midi = parse_midi(file);
      sha256.add(joined(words(midi.damage), " at ", midi.damage_at));
      sha256.add(text_of(decode(midi, {.lowest_note = 48, .notes = 24})));
    } catch (const Error& error) {
      sha256.add(std::string(error.what()));
    }
  }
  const std::string read = sha256.finish();
  BOOST_TEST(reader_version == 2);
  BOOST_TEST(read == "d96aafcad1e87e5903cae7dbedfa222e4f0cea6acf41bf3ec8bd5833bc0f8525");
}

BOOST_AUTO_TEST_CASE(an_archive_is_read_once) {
  const Setting setting;
  CorpusSettings settings = setting.of(setting.archive), without = settings;
  without.cache = {};
  const std::string fresh = described(load_corpus(without), setting.archive);
  BOOST_TEST(!fs::exists(setting.cache));
  const Corpus first = load_corpus(settings);
  BOOST_TEST(says(first, "keeps what was read"));
  BOOST_TEST(described(first, setting.archive) == fresh);
  for (int threads : {1, 3}) {
    settings.threads = threads;
    const Corpus second = load_corpus(settings);
    BOOST_TEST(from_cache(second));
    BOOST_TEST(described(second, setting.archive) == fresh);
  }
  // It is by content: another place and time make no difference, another setting and another content do.
  fs::copy(setting.archive, setting.folder / "other.tar.gz");
  settings.sources = {setting.folder / "other.tar.gz"};
  BOOST_TEST(from_cache(load_corpus(settings)));
  const auto refuses = [&](CorpusSettings other) {
    return !from_cache(load_corpus(other)) && from_cache(load_corpus(other));
  };
  for (auto change : std::vector<std::function<void(CorpusSettings&)>>{
           [](auto& s) { s.roll.lowest_note = 40; }, [](auto& s) { s.roll.notes = 30; },
           [](auto& s) { s.roll.steps_per_quarter = 2; }, [](auto& s) { s.roll.percussion = true; },
           [](auto& s) { s.roll.sustain = true; }, [](auto& s) { s.max_file_bytes = 1000; }}) {
    CorpusSettings other = settings;
    change(other);
    BOOST_TEST(refuses(other));
  }
  settings.seed = 9;
  settings.held_out = 0.3;
  BOOST_TEST(from_cache(load_corpus(settings)));
  write_bytes(setting.archive, archive_of("tar.gz", [&] {
                std::vector<Entry> entries;
                for (const auto& [name, bytes] : setting.files) entries.push_back({"x" + name, bytes});
                return entries;
              }()));
  settings.sources = {setting.archive};
  BOOST_TEST(refuses(settings));
}

BOOST_AUTO_TEST_CASE(a_folder_is_read_once) {
  const Setting setting;
  CorpusSettings settings = setting.of(setting.music);
  const std::string fresh = described(load_corpus(corpus_of({setting.music})), setting.music);
  // A file that was just written could change within the same tick of the clock, so its stamps are not trusted.
  BOOST_TEST(described(load_corpus(settings), setting.music) == fresh);
  BOOST_TEST(!from_cache(load_corpus(settings)));
  BOOST_TEST(setting.entries().size() == 1u);
  fs::last_write_time(setting.music + "/" + setting.files.rbegin()->first,
                      fs::file_time_type::clock::now() + std::chrono::hours(9999));
  settle();
  BOOST_TEST(!from_cache(load_corpus(settings)));
  const Corpus again = load_corpus(settings);
  BOOST_TEST(from_cache(again));
  BOOST_TEST(described(again, setting.music) == fresh);
  // A change that leaves size and time of modification as they were.
  const std::string changed = setting.music + "/" + setting.files.begin()->first;
  const auto time = fs::last_write_time(changed);
  Bytes bytes = setting.files.begin()->second;
  bytes[bytes.size() / 2] ^= 1;
  write_bytes(changed, bytes);
  fs::last_write_time(changed, time);
  const Corpus other = load_corpus(settings);
  BOOST_TEST(!from_cache(other));
  BOOST_TEST(described(other, setting.music) == described(load_corpus(corpus_of({setting.music})), setting.music));
  // Put back, and moved: the same contents under the same names are one entry, whatever the system says of the files.
  write_bytes(changed, setting.files.begin()->second);
  fs::rename(setting.music, setting.folder / "moved");
  settings.sources = {setting.folder / "moved"};
  const size_t before = setting.entries().size();
  BOOST_TEST(described(load_corpus(settings), setting.folder / "moved") == fresh);
  BOOST_TEST(setting.entries().size() == before);
}

BOOST_AUTO_TEST_CASE(small_sources_leave_no_traces) {
  const Setting setting;
  for (const std::string& source : {setting.music, setting.archive}) {
    CorpusSettings settings = setting.of(source);
    settings.cache.min_files = 61;
    load_corpus(settings);
    BOOST_TEST(!fs::exists(setting.cache));
    settings.cache.min_bytes = 1000;
    load_corpus(settings);
    BOOST_TEST(setting.entries().size() == 1u);
    fs::remove_all(setting.cache);
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_entry_is_made_anew) {
  const Setting setting;
  const CorpusSettings settings = setting.of(setting.archive);
  const std::string fresh = described(load_corpus(settings), setting.archive);
  const std::string entry = setting.entries().at(0).string();
  Random random{5};
  for (const char* file : {"/index", "/part_00000"}) {
    const std::string path = entry + file, whole = read_file(path);
    for (int round = 0; round < 12; ++round) {
      std::string bytes = whole;
      if (round == 0) bytes.clear();
      if (round == 1) bytes.resize(bytes.size() - 1);
      if (round == 2) bytes += 'x';
      if (round > 2) bytes[random.below(std::ssize(bytes))] ^= static_cast<char>(1 << random.below(8));
      write_plainly(path, bytes);
      const Corpus corpus = load_corpus(settings);
      BOOST_TEST(says(corpus, "is not used but made anew"));
      BOOST_TEST(described(corpus, setting.archive) == fresh);
      BOOST_TEST(read_file(path) == whole);
    }
    fs::remove(path);
    BOOST_TEST(described(load_corpus(settings), setting.archive) == fresh);
  }
  // Another source's entry in its place.
  const CorpusSettings other = setting.of(setting.music);
  load_corpus(other);
  for (const auto& path : setting.entries())
    if (path != entry) {
      fs::remove_all(entry);
      fs::copy(path, entry);
    }
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(says(corpus, "is not used but made anew: it is another one's"));
  BOOST_TEST(described(corpus, setting.archive) == fresh);
}

BOOST_AUTO_TEST_CASE(a_cache_that_cannot_be_written_is_done_without) {
  const Setting setting;
  write_plainly(setting.cache, "in the way");
  const Corpus corpus = load_corpus(setting.of(setting.archive));
  BOOST_TEST(corpus.files == 60);
  BOOST_TEST(says(corpus, "will be read anew at the next start: cannot make the folder"));
}

BOOST_AUTO_TEST_CASE(several_processes_make_one_entry_at_once) {
  const Setting setting;
  const std::string fresh = described(load_corpus(corpus_of({setting.archive})), setting.archive);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) try {
        for (int round = 0; round < 8; ++round) {
          std::error_code ignored;  // the others write into it
          if (round % 3 == 1) fs::remove_all(setting.cache, ignored);
          require(described(load_corpus(setting.of(setting.archive)), setting.archive) == fresh, "another corpus");
        }
        _exit(0);
      } catch (...) {
        _exit(1);
      }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    BOOST_TEST(status == 0);
  }
  load_corpus(setting.of(setting.archive));
  BOOST_TEST(from_cache(load_corpus(setting.of(setting.archive))));
}

BOOST_AUTO_TEST_CASE(a_writer_may_be_killed_at_any_moment) {
  const Setting setting;
  const CorpusSettings settings = setting.of(setting.archive);
  const auto begun = std::chrono::steady_clock::now();
  const std::string fresh = described(load_corpus(settings), setting.archive);
  const auto whole =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun).count();
  fs::remove_all(setting.cache);
  Random random{7};
  int killed = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t child = fork();
    if (child == 0) try {
        load_corpus(settings);
        _exit(0);
      } catch (...) {
        _exit(1);
      }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(whole)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status);
    if (round % 3 == 0) continue;  // several in a row
    BOOST_TEST(described(load_corpus(settings), setting.archive) == fresh);
    for (const fs::path& entry : setting.entries())
      for (const auto& file : fs::directory_iterator(entry))
        BOOST_TEST(file.path().filename().string().find(".tmp-") == std::string::npos);
    fs::remove_all(setting.cache);
  }
  BOOST_TEST(killed > 4);
}

BOOST_AUTO_TEST_CASE(what_was_not_used_for_longest_goes_first) {
  const Folder folder;
  const auto now = fs::file_time_type::clock::now();
  const auto make = [&](const std::string& name, int hours, bool whole) {
    fs::create_directories(folder / name);
    write_plainly(folder / (name + "/part_00000"), std::string(1000, 'x'));
    if (whole) write_plainly(folder / (name + "/index"), "");
    fs::last_write_time(folder / (whole ? name + "/index" : name), now - std::chrono::hours(hours));
  };
  const auto there = [&] {
    std::string names;
    for (const char* name : {"new", "old", "older", "used", "making", "left"})
      if (fs::exists(folder / name)) names += std::string(name) + " ";
    return names;
  };
  make("new", 1, true);
  make("older", 9, true);
  make("old", 5, true);
  make("used", 99, true);
  make("making", 1, false);
  make("left", 30, false);  // by a writer that was killed
  write_plainly(folder / "a.stamps", "older\n");
  write_plainly(folder / "b.stamps", "new\n");
  BOOST_TEST(tidy_entries(folder.path.string(), folder / "used", 6000) == 5000);
  BOOST_TEST(there() == "new old older used making ");
  BOOST_TEST(tidy_entries(folder.path.string(), folder / "used", 4999) == 4000);
  BOOST_TEST(there() == "new old used making ");
  BOOST_TEST(tidy_entries(folder.path.string(), folder / "used", 0) == 2000);  // those in the making are another's
  BOOST_TEST(there() == "used making ");
  tidy_entries(folder.path.string(), folder / "used", 0);
  BOOST_TEST(!fs::exists(folder / "a.stamps"));
  BOOST_TEST(!fs::exists(folder / "b.stamps"));
}

BOOST_AUTO_TEST_CASE(an_unreadable_file_is_no_known_content) {
  if (geteuid() == 0) return;  // who may read everything
  const Setting setting;
  const std::string closed = setting.music + "/" + setting.files.begin()->first;
  fs::permissions(closed, fs::perms::none);
  BOOST_TEST(says(load_corpus(setting.of(setting.music)), "some of its files could not be read"));
  BOOST_TEST(setting.entries().empty());
}

BOOST_AUTO_TEST_SUITE_END()
