#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "data/files/file.h"
#include "experiments/media/synthesizer.h"
#include "poph_paths.h"
#include "tests/support/folder.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

// An environment variable while it lives.
struct Variable {
  Variable(const char* name, const std::string& value) : name(name) {
    if (const char* was = std::getenv(name)) before = was;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before)
      setenv(name, before->c_str(), 1);
    else
      unsetenv(name);
  }
  const char* name;
  std::optional<std::string> before;
};

boost::test_tools::assertion_result synthesizer_is_there(boost::unit_test::test_unit_id) {
  std::string missing;
  boost::test_tools::assertion_result found(find_synthesizer(missing).has_value());
  found.message() << missing;
  return found;
}

// A program that writes its arguments into a file, and runs `body`.
std::string stand_in(const Folder& folder, const std::string& body) {
  const std::string path = folder / "fluidsynth";
  write_plainly(path, "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$(dirname \"$0\")/words\"\n" + body);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

const std::string font("RIFF\4\0\0\0sfbk", 12);

}  // namespace

BOOST_AUTO_TEST_SUITE(audio)

BOOST_AUTO_TEST_CASE(a_missing_program_is_named_with_how_to_install_it) {
  const Folder folder;
  const Variable nowhere("PATH", folder.path.string()), no_font("POPH_SOUND_FONT", folder / "font.sf2");
  std::string missing;
  BOOST_TEST(!find_synthesizer(missing));
  BOOST_TEST(missing.starts_with(
      "fluidsynth is not installed (Debian and Ubuntu: apt-get install fluidsynth timgm6mb-soundfont"));
  stand_in(folder, "");
  write_plainly(folder / "font.sf2", std::string("RIFF\4\0\0\0WAVE", 12));
  BOOST_TEST(!find_synthesizer(missing));
  BOOST_TEST(missing == "$POPH_SOUND_FONT: found " + folder / "font.sf2" + ", expected an .sf2 or .sf3 sound font");
  write_plainly(folder / "font.sf2", font);
  const auto found = find_synthesizer(missing);
  BOOST_REQUIRE(found);
  BOOST_TEST(missing.empty());
  BOOST_TEST(found->program == folder / "fluidsynth");
  BOOST_TEST(found->sound_font == folder / "font.sf2");
}

BOOST_AUTO_TEST_CASE(a_failure_is_one_line_and_leaves_nothing) {
  const Folder folder;
  const Synthesizer silent{stand_in(folder, "exit 0\n"), folder / "font.sf2"};
  BOOST_TEST(message_of([&] { render_audio(silent, "x.mid", folder / "x.wav"); }) ==
             "cannot play x.mid into " + folder / "x.wav" + ": fluidsynth ended with status 0: it said nothing");
  const Synthesizer broken{
      stand_in(folder, "while [ \"$1\" != -F ]; do shift; done\necho half > \"$2\"\necho no luck >&2\nexit 3\n"),
      folder / "font.sf2"};
  BOOST_TEST(message_of([&] { render_audio(broken, "x.mid", folder / "x.wav"); }) ==
             "cannot play x.mid into " + folder / "x.wav" + ": fluidsynth ended with status 3: no luck");
  BOOST_TEST(message_of([&] { render_audio(broken, "x.mid", "x.ogg"); }) ==
             "audio: found x.ogg, expected a name ending in .wav or .oga");
  BOOST_TEST(message_of([&] {
               render_audio({folder / "gone", "font.sf2"}, "x.mid", folder / "x.wav");
             }) == "cannot start " + folder / "gone" + ": No such file or directory");
  BOOST_TEST((folder.names() == std::set<std::string>{"fluidsynth", "words"}));
}

BOOST_AUTO_TEST_CASE(names_that_look_like_options_are_files) {
  const Folder folder;
  const Synthesizer writes{stand_in(folder, "while [ \"$1\" != -F ]; do shift; done\ncat \"$4\" > \"$2\"\n"),
                           folder / "font.sf2"};
  const auto was = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);
  write_plainly("-o -x.mid", "the notes");
  render_audio(writes, "-o -x.mid", "-y \".wav");
  std::filesystem::current_path(was);
  BOOST_TEST(read_file(folder / "-y \".wav") == "the notes");
  BOOST_TEST(read_file(folder / "words").find("\n-o") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_piece_becomes_sound, *boost::unit_test::precondition(synthesizer_is_there)) {
  const Folder folder;
  std::string missing;
  const auto synthesizer = find_synthesizer(missing);
  const std::string piece = POPH_CORPUS "/beethoven_ode_to_joy.mid";
  for (const char* name : {"a.wav", "b.wav", "a.oga"}) render_audio(*synthesizer, piece, folder / name);
  const std::string wav = read_file(folder / "a.wav"), ogg = read_file(folder / "a.oga");
  BOOST_TEST(wav == read_file(folder / "b.wav"));
  BOOST_TEST((wav.starts_with("RIFF") && wav.substr(8, 8) == "WAVEfmt "));
  BOOST_TEST(ogg.starts_with("OggS"));
  BOOST_TEST(ogg.size() < wav.size() / 5);
  int loudest = 0;
  for (size_t at = 44; at + 1 < wav.size(); at += 2)
    loudest = std::max(loudest, std::abs(static_cast<int16_t>(static_cast<uint8_t>(wav[at]) |
                                                              static_cast<uint8_t>(wav[at + 1]) << 8)));
  BOOST_TEST(loudest > 3000);
  BOOST_TEST(loudest < 32767);  // not cut off
  BOOST_TEST((folder.names() == std::set<std::string>{"a.wav", "b.wav", "a.oga"}));
}

BOOST_AUTO_TEST_SUITE_END()
