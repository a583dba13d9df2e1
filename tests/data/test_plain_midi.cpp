#include <boost/test/unit_test.hpp>

#include "data/files/file.h"
#include "poph_paths.h"
#include "tests/support/fewer.h"
#include "tests/support/plain_midi.h"
#include "tests/support/random_midi.h"

using namespace poph;
using namespace poph::test;

BOOST_AUTO_TEST_SUITE(plain_midi)

BOOST_AUTO_TEST_CASE(random_files_read_alike) {
  Random random{21};
  Compared compared;
  for (int64_t i = 0; i < fewer(5000); ++i) {
    const Bytes file = random_file(random);
    const std::string apart = difference(file, random_settings(random), compared);
    BOOST_TEST_REQUIRE(apart == "", "file " << i << ": " << apart);
  }
  BOOST_TEST(compared.refused == 0);
  BOOST_TEST(compared.damaged > fewer(500));  // those without an end of track
  BOOST_TEST(compared.rolls > fewer(2000));
}

BOOST_AUTO_TEST_CASE(mutated_files_read_alike_with_the_same_complaint) {
  Random random{22};
  Compared compared;
  for (int64_t i = 0; i < fewer(fewer(20000)); ++i) {
    Bytes file = random_file(random);
    mutate(file, random);
    const std::string apart = difference(file, random_settings(random), compared);
    BOOST_TEST_REQUIRE(apart == "", "file " << i << ": " << apart);
  }
  BOOST_TEST(compared.refused > fewer(fewer(1000)));
  BOOST_TEST(compared.damaged > fewer(fewer(5000)));
  BOOST_TEST(compared.rolls > fewer(fewer(2000)));
}

BOOST_AUTO_TEST_CASE(whole_pieces_read_alike) {
  Compared compared;
  std::vector<uint8_t> buffer;
  for (const char* name : {"fugue_16_g_minor", "twopart_invention_in_a_minor", "mz_545_2"}) {
    const auto bytes = read_file(joined(POPH_SOURCE_ROOT, "/tests/golden/", name, ".mid"), buffer);
    BOOST_TEST(difference({bytes.begin(), bytes.end()}, {}, compared) == "");
  }
  BOOST_TEST(compared.read == 3);
}

BOOST_AUTO_TEST_SUITE_END()
