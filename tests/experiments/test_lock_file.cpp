#include "experiments/workspace/lock_file.h"

#include <boost/test/unit_test.hpp>

#include "tests/support/folder.h"

using poph::LockFile;
using Kind = LockFile::Kind;

BOOST_AUTO_TEST_SUITE(lock_file)

BOOST_AUTO_TEST_CASE(shared_and_exclusive_locks) {
  const poph::test::Folder folder;
  const std::string path = folder / "lock";
  BOOST_TEST(!LockFile::held(path));
  LockFile one(path), other(path);
  BOOST_TEST(one.take(0, Kind::exclusive));
  BOOST_TEST(!other.take(0, Kind::exclusive));
  BOOST_TEST(!other.take(0, Kind::shared));
  BOOST_TEST(other.take(1, Kind::exclusive));  // another byte
  BOOST_TEST(LockFile::held(path));
  BOOST_TEST(!LockFile::held(path, 2));
  BOOST_TEST(one.take(0, Kind::shared));
  BOOST_TEST(other.take(0, Kind::shared));
  BOOST_TEST(!one.take(0, Kind::exclusive));
  one.release(0);
  BOOST_TEST(other.take(0, Kind::exclusive));
  BOOST_TEST(!one.take(0, Kind::shared));
}

BOOST_AUTO_TEST_CASE(it_ends_with_its_holder_and_names_it) {
  const poph::test::Folder folder;
  const std::string path = folder / "lock";
  {
    LockFile one(path);
    BOOST_TEST(one.take(0, Kind::exclusive));
    one.write("a long name");
    one.write("me");
    BOOST_TEST(LockFile(path).text() == "me");
    BOOST_TEST(LockFile::held(path));  // neither this question nor the closed file above released it
    BOOST_TEST(LockFile::held(path));
  }
  BOOST_TEST(!LockFile::held(path));
}

BOOST_AUTO_TEST_CASE(it_knows_when_its_file_has_gone) {
  const poph::test::Folder folder;
  const std::string path = folder / "lock";
  const LockFile one(path);
  BOOST_TEST(one.is_there());
  std::filesystem::rename(path, folder / "moved");
  BOOST_TEST(!one.is_there());
  const LockFile other(path);  // another file in its place
  BOOST_TEST(!one.is_there());
  BOOST_TEST(other.is_there());
  std::filesystem::rename(folder / "moved", path);
  BOOST_TEST(one.is_there());
  BOOST_TEST(!other.is_there());
}

BOOST_AUTO_TEST_SUITE_END()
