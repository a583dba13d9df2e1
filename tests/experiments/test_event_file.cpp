#include <zlib.h>
#include <boost/test/unit_test.hpp>

#include <cstring>
#include <filesystem>

#include "data/files/file.h"
#include "experiments/media/event_file.h"
#include "experiments/run/sample_events.h"
#include "tests/support/folder.h"
#include "tests/support/rolls.h"
#include "tests/support/support.h"

// The files' bytes. Whether TensorBoard reads them so is the test `tensorboard`, in tests/test_tensorboard.py.
using namespace poph;
using namespace poph::test;

namespace {

template <class T>
T number_at(const std::string& bytes, size_t at) {
  T x;
  std::memcpy(&x, &bytes.at(at + sizeof(T) - 1) - (sizeof(T) - 1), sizeof x);
  return x;
}

uint32_t masked(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

// The messages of an event file, whose framing is checked.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> found;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = number_at<uint64_t>(bytes, at);
    BOOST_TEST(number_at<uint32_t>(bytes, at + 8) == masked(bytes.substr(at, 8)));
    found.push_back(bytes.substr(at + 12, length));
    BOOST_TEST(number_at<uint32_t>(bytes, at + 12 + length) == masked(found.back()));
    at += 16 + length;
  }
  return found;
}

bool holds(const std::string& record, const std::string& part) { return record.find(part) != std::string::npos; }

std::vector<uint8_t> pixels(const Png& png) {  // of a picture whose rows have no filter
  std::string data;
  for (size_t at = 8; at < png.bytes.size();) {
    const auto size = static_cast<size_t>(__builtin_bswap32(number_at<uint32_t>(png.bytes, at)));
    const std::string type = png.bytes.substr(at + 4, 4), checked = png.bytes.substr(at + 4, size + 4);
    BOOST_TEST(crc32(0, reinterpret_cast<const Bytef*>(checked.data()), checked.size()) ==
               __builtin_bswap32(number_at<uint32_t>(png.bytes, at + 8 + size)));
    if (type == "IDAT") data += png.bytes.substr(at + 8, size);
    at += size + 12;
  }
  std::vector<uint8_t> rows((3 * png.width + 1) * png.height);
  uLongf length = rows.size();
  BOOST_TEST(uncompress(rows.data(), &length, reinterpret_cast<const Bytef*>(data.data()), data.size()) == Z_OK);
  BOOST_TEST(length == rows.size());
  std::vector<uint8_t> rgb;
  for (int64_t y = 0; y < png.height; ++y) {
    const auto row = rows.begin() + y * (3 * png.width + 1);
    BOOST_TEST(*row == 0);
    rgb.insert(rgb.end(), row + 1, row + 1 + 3 * png.width);
  }
  return rgb;
}

std::string wav_of(int channels, const std::vector<int16_t>& samples) {
  const auto le = [](uint32_t x, int bytes) { return std::string(reinterpret_cast<const char*>(&x), bytes); };
  const uint32_t size = static_cast<uint32_t>(2 * samples.size());
  return "RIFF" + le(0, 4) + "WAVEfmt " + le(16, 4) + le(1, 2) + le(channels, 2) + le(100, 4) + le(200 * channels, 4) +
         le(2 * channels, 2) + le(16, 2) + "odd " + le(3, 4) + "abc " + "data" + le(size, 4) +
         std::string(reinterpret_cast<const char*>(samples.data()), size);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tensorboard)

BOOST_AUTO_TEST_CASE(crc32c_of_known_texts) {
  BOOST_TEST(crc32c("123456789") == 0xe3069283);
  BOOST_TEST(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  BOOST_TEST(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
}

BOOST_AUTO_TEST_CASE(records_of_events) {
  Events events;
  events.start_at(300);
  events.scalars(301, {{"a/b", 0.5}, {"c", -2}});
  const auto found = records(events.bytes());
  BOOST_REQUIRE(found.size() == 3);
  BOOST_TEST(found[0][0] == 9);  // field 1, eight bytes: the time
  BOOST_TEST(std::abs(number_at<double>(found[0], 1) - static_cast<double>(time(nullptr))) < 5);
  BOOST_TEST(found[0].substr(9) == std::string("\x10\0\x1a\rbrain.Event:2", 17));
  BOOST_TEST(found[1].substr(9) ==
             std::string("\x10\xac\x02\x3a\x02\x08\x01", 7));  // step 300 as a varint; session_log { status: START }
  BOOST_TEST(found[2].substr(9) == std::string("\x10\xad\x02\x2a\x16\x0a\x0a\x0a\x03"
                                               "a/b\x15\0\0\0\x3f\x0a\x08\x0a\x01"
                                               "c\x15\0\0\0\xc0",
                                               27));
}

BOOST_AUTO_TEST_CASE(a_file_for_each_session) {
  const Folder folder;
  std::vector<std::string> names;
  for (int64_t done : {0, 7}) {
    EventFile file(folder.path.string(), done);
    file.events.scalars(done + 1, {{"x", 1}});
    file.write();
    file.events.scalars(done + 2, {{"x", 2}});
  }
  for (const std::string& name : folder.names()) names.push_back(name);
  BOOST_REQUIRE(names.size() == 2);
  const auto first = records(read_file(folder / names[0])), second = records(read_file(folder / names[1]));
  BOOST_TEST(first.size() == 4);
  BOOST_TEST(second.size() == 4);
  BOOST_TEST(first[1].substr(9, 2) == std::string("\x10\0", 2));     // all is void
  BOOST_TEST(second[1].substr(9, 2) == std::string("\x10\x08", 2));  // from step 8 on
  // A clock that was set back, or ran too fast: the newest still sorts last.
  write_plainly(folder / "events.out.tfevents.8999999999.host.1", "");
  BOOST_TEST(event_file_name(folder.path.string()).starts_with("events.out.tfevents.9000000000."));
  BOOST_TEST(message_of([&] { EventFile file(folder / "gone", 0); }).ends_with("No such file or directory"));
}

BOOST_AUTO_TEST_CASE(the_steps_that_are_logged) {
  int64_t logged = 0;
  for (int64_t step = 1; step <= 1'000'000; ++step) {
    logged += is_logged_step(step);
    if (step <= 10'000) BOOST_REQUIRE(is_logged_step(step));
  }
  BOOST_TEST(logged == 10'000 + 9'000 + 9'000);
  BOOST_TEST(is_logged_step(10'010));
  BOOST_TEST(!is_logged_step(10'001));
  BOOST_TEST(is_logged_step(100'000));
  BOOST_TEST(!is_logged_step(100'010));
  is_logged_step(INT64_MAX);  // it ends
}

BOOST_AUTO_TEST_CASE(pictures) {
  // Two notes at steps 0 and 1, the second struck again, 60 louder than 61; 60 is a C.
  Roll roll(60, 2);
  roll.append(std::vector<Cell>{127, 0, 127 | replay_bit, 10});
  const Png png = piano_roll_png(roll, 4);
  BOOST_TEST((png.width == 8 && png.height == 8));
  const auto rgb = pixels(png);
  const auto at = [&](int64_t x, int64_t y) {
    return std::vector<int>(rgb.begin() + 3 * (y * 8 + x), rgb.begin() + 3 * (y * 8 + x) + 3);
  };
  const std::vector<int> ink = {0x1f, 0x5f, 0xbf}, bar = {138, 148, 166}, white = {255, 255, 255},
                         octave = {235, 238, 243};
  BOOST_TEST(at(0, 5) == bar, boost::test_tools::per_element());  // where it is struck the ground shows
  BOOST_TEST(at(1, 5) == ink, boost::test_tools::per_element());
  BOOST_TEST(at(3, 5) == ink, boost::test_tools::per_element());
  BOOST_TEST(at(4, 5) == octave, boost::test_tools::per_element());  // the replay
  BOOST_TEST(at(5, 5) == ink, boost::test_tools::per_element());
  BOOST_TEST(at(1, 7) == octave, boost::test_tools::per_element());  // a line between notes
  BOOST_TEST(at(1, 1) == white, boost::test_tools::per_element());
  BOOST_TEST(at(5, 1)[0] > 150);  // soft
  BOOST_TEST(at(5, 1)[0] < 200);
  BOOST_TEST(piano_roll_png(roll_of({{0, 4000, 60}}), 4).width == 8000);
  BOOST_TEST(piano_roll_png(roll_of({{0, 9000, 60}}), 4).width == 8192);
  BOOST_TEST(piano_roll_png(Roll(60, 12), 4).width == 4);
  BOOST_TEST(message_of([] { encode_png({1, 2, 3}, 2, 1); }).starts_with("png: 3 bytes for 2 x 1 pixels"));
}

BOOST_AUTO_TEST_CASE(sound_is_shortened) {
  const Events::Wav found = short_mono(wav_of(2, {10, 20, -30, -10, 5, 5}), 0.02);
  BOOST_TEST(found.rate == 100);
  BOOST_TEST(found.channels == 1);
  BOOST_TEST(found.frames == 2);
  BOOST_TEST(found.bytes.size() == 48);
  BOOST_TEST(number_at<int16_t>(found.bytes, 44) == 15);
  BOOST_TEST(number_at<int16_t>(found.bytes, 46) == -20);
  BOOST_TEST(number_at<uint32_t>(found.bytes, 4) == 40);
  BOOST_TEST(number_at<uint32_t>(found.bytes, 40) == 4);
  BOOST_TEST(short_mono(found.bytes, 9).bytes == found.bytes);
  BOOST_TEST(short_mono(wav_of(1, {1, 2, 3}), 9).frames == 3);
  BOOST_TEST(message_of([] { short_mono("RIFFxxxxWAVE", 1); }) == "wav: found no chunk of data");
  BOOST_TEST(message_of([] { short_mono("RIFF", 1); }) == "wav: found no RIFF WAVE header");
  BOOST_TEST(
      message_of([] { short_mono(wav_of(1, {1}).substr(0, 30), 1); }).starts_with("wav: it ends after 30 bytes"));
}

BOOST_AUTO_TEST_CASE(samples_replace_earlier_ones) {
  const Folder folder;
  std::filesystem::create_directory(folder / "samples");
  const auto roll = std::make_shared<const Roll>(roll_of({{0, 4, 60}}, 0, 60, 12));
  std::vector<std::shared_ptr<const Roll>> samples(6, roll);
  write_plainly(folder / "events.out.tfevents.1000000000.host.1", "losses");
  setenv("POPH_SOUND_FONT", "/dev/null", 1);  // no sound here
  for (int64_t step : {5, 9}) {
    Progress progress(true);
    write_sample_events(folder.path.string(), "name = \"x\"\n[train]\n", samples, 4, step, progress);
  }
  unsetenv("POPH_SOUND_FONT");
  const auto names = folder.names();
  BOOST_TEST(names.size() == 3);
  const auto found = records(read_file(folder / *std::next(names.begin())));
  BOOST_REQUIRE(found.size() == 6);  // the version, the text, four pictures
  for (size_t i = 1; i < 6; ++i) BOOST_TEST(found[i].substr(9, 2) == "\x10\x09");
  BOOST_TEST(holds(found[1], "    name = \"x\"\n    [train]\n"));
  BOOST_TEST(holds(found[2], piano_roll_png(*roll, 4).bytes));
  BOOST_TEST(holds(found[5], "piano_roll/piece_4"));
}

BOOST_AUTO_TEST_SUITE_END()
