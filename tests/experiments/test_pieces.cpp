#include "experiments/compose/pieces.h"

#include <boost/test/unit_test.hpp>
#include <thread>

#include "data/files/file.h"
#include "data/reading/composed.h"
#include "tests/support/folder.h"
#include "tests/support/midi_bytes.h"

using namespace poph;
using namespace poph::test;

namespace {

std::vector<Roll> some(uint64_t seed, int count) {
  Random random{seed};
  std::vector<Roll> rolls;
  for (int i = 0; i < count; ++i) rolls.push_back(random_roll(random, 20));
  return rolls;
}

Roll read(const std::string& path) { return decode(read_midi_file(path), {60, 12}); }

}  // namespace

BOOST_AUTO_TEST_SUITE(pieces)

BOOST_AUTO_TEST_CASE(numbers_go_on_behind_what_is_there) {
  const Folder folder;
  const Config config;
  const std::string out = folder / "composed";
  const std::vector<Roll> first = some(1, 2), second = some(2, 2), third = some(3, 1);
  using Paths = std::vector<std::string>;
  const auto per_element = boost::test_tools::per_element();
  BOOST_TEST(write_pieces(first, out, config, Existing::keep) == (Paths{out + "/piece_1.mid", out + "/piece_2.mid"}),
             per_element);
  BOOST_TEST(write_pieces(second, out, config, Existing::keep) == (Paths{out + "/piece_3.mid", out + "/piece_4.mid"}),
             per_element);
  write_plainly(out + "/piece_9.svg", "mine");
  BOOST_TEST(write_pieces(third, out, config, Existing::keep) == (Paths{out + "/piece_10.mid"}), per_element);
  BOOST_TEST((read(out + "/piece_1.mid") == first[0]));
  BOOST_TEST((read(out + "/piece_4.mid") == second[1]));
  BOOST_TEST(read_file(out + "/piece_9.svg") == "mine");
  BOOST_TEST(read_file(out + "/piece_10.svg").find(", piece 10") != std::string::npos);
  BOOST_TEST(write_pieces(third, out, config, Existing::replace) == (Paths{out + "/piece_1.mid"}), per_element);
  BOOST_TEST((read(out + "/piece_1.mid") == third[0]));
  std::vector<uint8_t> buffer;
  BOOST_TEST(is_marked_as_composed(read_file(out + "/piece_1.mid", buffer)));
}

BOOST_AUTO_TEST_CASE(calls_at_once_have_names_of_their_own) {
  const Folder folder;
  const Config config;
  std::vector<std::vector<std::string>> paths(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < paths.size(); ++i)
    threads.emplace_back([&, i] { paths[i] = write_pieces(some(i, 5), folder.path.string(), config, Existing::keep); });
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (size_t i = 0; i < paths.size(); ++i)
    for (size_t k = 0; k < paths[i].size(); ++k) {
      BOOST_TEST(all.insert(paths[i][k]).second);
      BOOST_TEST((read(paths[i][k]) == some(i, 5)[k]));
    }
  BOOST_TEST(folder.names().size() == 40u);
}

BOOST_AUTO_TEST_SUITE_END()
