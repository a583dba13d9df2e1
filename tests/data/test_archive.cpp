#include "data/reading/archive.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <ctime>

#include "data/reading/file_names.h"
#include "tests/support/archives.h"
#include "tests/support/folder.h"

using namespace poph;
using namespace poph::test;

namespace {

const std::vector<std::string> kinds = {"tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"};

struct Read {
  std::vector<ArchiveMember> members;
  std::vector<std::string> damage;
  std::string error;  // empty: none

  const ArchiveMember& operator[](const std::string& name) const {
    for (const auto& member : members)
      if (member.name == name) return member;
    throw std::runtime_error("no member " + name);
  }
};

Read read_all(const Bytes& bytes, const ArchiveLimits& limits = {}) {
  Read read;
  try {
    ArchiveReader reader(bytes, limits);
    for (ArchiveMember member; reader.next(member);) read.members.push_back(member);
    read.damage = reader.damage();
  } catch (const Error& error) {
    read.error = error.what();
  }
  return read;
}

Bytes noise(uint64_t seed, int64_t size) {  // does not compress
  Random random{seed};
  Bytes bytes(static_cast<size_t>(size));
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.below(256));
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(archives)

BOOST_AUTO_TEST_CASE(names) {
  for (const char* name : {"a.tar.gz", "A.TGZ", "x.y.zip", ".tar", "b.tar.xz", "b.tar.zst", "b.TAR.BZ2"})
    BOOST_TEST(is_archive_name(name), name);
  for (const char* name : {"a.gz", "a.mid", "tar", "zip", "a.tar.gz.mid", "a.tar.lz", ""})
    BOOST_TEST(!is_archive_name(name), name);
  for (const char* name : {"a.mid", "A.MIDI", "b/c.Mid", ".mid"}) BOOST_TEST(is_midi_name(name), name);
  for (const char* name : {"a.mi", "mid", "a.mid.txt", ""}) BOOST_TEST(!is_midi_name(name), name);
}

BOOST_AUTO_TEST_CASE(every_kind_gives_the_midi_files_as_they_are) {
  std::vector<Entry> entries = {{"folder/", {}, AE_IFDIR},
                                {"readme.txt", Bytes(100, 'x')},
                                {"./a.mid", {1, 2, 3}},
                                {"folder/empty.MIDI", {}},
                                {"folder/large.mid", noise(1, 400'000)},
                                {"inner.zip", archive_of("zip", {{"deep.mid", {1}}})},
                                {"a.mid", {4}},
                                {"directory.mid", {}, AE_IFDIR}};
  for (const std::string& kind : kinds) {
    const Read read = read_all(archive_of(kind, entries));
    BOOST_TEST_CONTEXT(kind) {
      BOOST_TEST(read.error == "");
      BOOST_TEST(read.damage.empty());
      BOOST_REQUIRE_EQUAL(read.members.size(), 4u);
      for (size_t i = 0; const size_t entry : {2, 3, 4, 6}) {
        const std::string& name = entries[entry].name;
        BOOST_TEST(read.members[i].name == (name.starts_with("./") ? name.substr(2) : name));
        BOOST_TEST(read.members[i].reason == "");
        BOOST_TEST((read.members[i++].bytes == entries[entry].bytes));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(from_a_file_as_from_memory) {
  const Folder folder;
  const Bytes bytes = archive_of("zip", {{"a.mid", noise(2, 300'000)}, {"b.mid", noise(3, 300'000)}});
  write_plainly(folder / "x.zip", std::string(bytes.begin(), bytes.end()));
  ArchiveReader reader(folder / "x.zip");
  ArchiveMember member;
  BOOST_TEST(reader.bytes() == std::ssize(bytes));
  BOOST_TEST(reader.next(member));
  BOOST_TEST((member.bytes == noise(2, 300'000)));
  BOOST_TEST(reader.bytes_read() >= 300'000);
  BOOST_TEST(reader.next(member));
  BOOST_TEST((member.bytes == noise(3, 300'000)));
  BOOST_TEST(!reader.next(member));
  BOOST_TEST(folder.names() == std::set<std::string>{"x.zip"}, boost::test_tools::per_element());
  BOOST_CHECK_EXCEPTION(ArchiveReader(folder / "none.zip"), Error,
                        [](const Error& e) { return std::string(e.what()).starts_with("cannot read "); });
}

BOOST_AUTO_TEST_CASE(names_are_labels_whatever_they_are) {
  const std::vector<std::string> names = {
      "../../etc/x.mid", "/etc/passwd.mid",      "caf\xE9.mid",
      "caf\xC3\xA9.mid", "new\nline\x1B[2J.mid", std::string(90, 'n') + "/" + std::string(120, 'm') + ".mid"};
  std::vector<Entry> entries;
  for (const auto& name : names) entries.push_back({name, {7}});
  for (const std::string kind : {"tar.gz", "zip"}) {
    const Read read = read_all(archive_of(kind, entries));
    BOOST_TEST(read.error == "");
    BOOST_REQUIRE_EQUAL(read.members.size(), names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      BOOST_TEST(read.members[i].name == names[i]);
      BOOST_TEST(read.members[i].reason == "");
    }
  }
  // Names that are marked as UTF-8 come out as they are, whatever the locale; of one that is none nobody can say what
  // it means.
  const auto marked = [](Bytes zip) {
    for (size_t i = 0; i + 9 < zip.size(); ++i) {
      const std::string kind(zip.begin() + static_cast<std::ptrdiff_t>(i),
                             zip.begin() + static_cast<std::ptrdiff_t>(i + 4));
      if (kind == "PK\3\4") zip[i + 7] |= 8;
      if (kind == "PK\1\2") zip[i + 9] |= 8;
    }
    return read_all(zip);
  };
  const Read read = marked(archive_of("zip", {{"caf\xC3\xA9.mid", {7}}, {"caf\xE9.mid", {8}}, {"c.mid", {9}}}));
  BOOST_REQUIRE_EQUAL(read.members.size(), 3u);
  BOOST_TEST((read["caf\xC3\xA9.mid"].bytes == Bytes{7}));
  BOOST_TEST(read.members[1].reason == "its name is not the UTF-8 that it says it is");
  BOOST_TEST((read["c.mid"].bytes == Bytes{9}));
}

BOOST_AUTO_TEST_CASE(links_and_devices_are_not_followed) {
  const Folder folder;
  write_plainly(folder / "secret.mid", "secret");
  const std::string secret = folder / "secret.mid";
  const std::vector<Entry> entries = {{"a.mid", {1}},
                                      {"hard.mid", {}, AE_IFREG, secret},
                                      {"soft.mid", {}, AE_IFLNK, "", secret},
                                      {"device.mid", {}, AE_IFCHR},
                                      {"pipe.mid", {}, AE_IFIFO},
                                      {"b.mid", {2}}};
  const Read read = read_all(archive_of("tar", entries));
  BOOST_REQUIRE_EQUAL(read.members.size(), 6u);
  BOOST_TEST(read["hard.mid"].reason == "a hard link, expected a file: links are not followed");
  BOOST_TEST(read["soft.mid"].reason == "a symbolic link, expected a file: links are not followed");
  for (const char* name : {"device.mid", "pipe.mid"})
    BOOST_TEST(read[name].reason == "a device or pipe, expected a file");
  for (const auto& member : read.members) BOOST_TEST(member.bytes.empty() == !member.reason.empty());
  const Read zip = read_all(archive_of("zip", {entries[0], entries[2], entries[5]}));
  BOOST_TEST(zip["soft.mid"].reason == "a symbolic link, expected a file: links are not followed");
  BOOST_TEST((zip["b.mid"].bytes == Bytes{2}));
}

BOOST_AUTO_TEST_CASE(encrypted_members_are_skipped) {
  const Read read = read_all(archive_of("encrypted.zip", {{"a.mid", noise(1, 5000)}, {"b.mid", noise(2, 5000)}}));
  BOOST_TEST(read.error == "");
  BOOST_REQUIRE_EQUAL(read.members.size(), 2u);
  for (const auto& member : read.members) BOOST_TEST(member.reason == "encrypted");
}

BOOST_AUTO_TEST_CASE(large_members_are_skipped_and_the_next_ones_read) {
  const std::string index = "PK\1\2";
  for (const std::string& kind : kinds) {
    const Read read =
        read_all(archive_of(kind, {{"a.mid", {1}}, {"large.mid", Bytes(100'001, 0)}, {"b.mid", Bytes(100'000, 5)}}),
                 {.member_bytes = 100'000});
    BOOST_REQUIRE_EQUAL(read.members.size(), 3u);
    BOOST_TEST(read["large.mid"].reason == "it has 100001 bytes, expected at most 100000");
    BOOST_TEST(read["large.mid"].bytes.empty());
    BOOST_TEST(read["b.mid"].reason == "");
    BOOST_TEST(read["b.mid"].bytes.size() == 100'000u);
  }
  // A .zip without its index whose members do not say how large they are: it is seen when it happens.
  Bytes silent = archive_of("zip", {{"large.mid", Bytes(300'000, 0)}, {"b.mid", {1}}});
  silent.resize(
      static_cast<size_t>(std::search(silent.begin(), silent.end(), index.begin(), index.end()) - silent.begin()));
  std::fill(silent.begin() + 22, silent.begin() + 26, uint8_t{0});
  const Read unsized = read_all(silent, {.member_bytes = 100'000});
  BOOST_TEST(unsized["large.mid"].reason == "it has more than 100000 bytes, expected at most 100000");
  BOOST_TEST(unsized["large.mid"].bytes.empty());
  // A .zip that understates how much a member expands to: it is cut off there.
  Bytes liar = archive_of("zip", {{"large.mid", Bytes(100'001, 0)}, {"b.mid", {1}}});
  for (size_t i = 0; i + 28 < liar.size(); ++i)
    if (std::string(liar.begin() + i, liar.begin() + i + 4) == "PK\1\2") {
      for (int byte = 0; byte < 4; ++byte) liar[i + 24 + byte] = byte == 0 ? 10 : 0;
      break;
    }
  const Read read = read_all(liar, {.member_bytes = 100'000});
  BOOST_TEST(!read["large.mid"].reason.empty());
  BOOST_TEST(read["large.mid"].bytes.empty());
}

BOOST_AUTO_TEST_CASE(bombs_are_not_expanded) {
  const ArchiveLimits limits{.free_expansion = 1 << 20, .expansion = 10};
  for (const std::string& kind : kinds) {
    if (kind == "tar") continue;
    // One file of zeros that nobody wants, many that are each within the bounds, and one after which something good
    // comes.
    std::vector<Entry> many;
    for (int i = 0; i < 40; ++i) many.push_back({joined(i, ".mid"), Bytes(100'000, 0)});
    for (const auto& entries : {std::vector<Entry>{{"zeros.bin", Bytes(4'000'000, 0)}, {"a.mid", {1}}}, many}) {
      const Read read = read_all(archive_of(kind, entries), limits);
      BOOST_TEST(read.error.starts_with("data: archive: its first "), kind << ": " << read.error);
      BOOST_TEST(read.error.ends_with(", expected at most 10 for one: is it a zip bomb?"));
    }
    const Read well =
        read_all(archive_of(kind, {{"zeros.bin", Bytes(900'000, 0)}, {"a.mid", noise(1, 3'000'000)}}), limits);
    BOOST_TEST(well.error == "");
    BOOST_TEST(well.members.size() == 1u);
  }
}

// Each layer would multiply what the one behind it has to do, before anything came out that could be counted.
BOOST_AUTO_TEST_CASE(one_compression_and_no_layers_of_it) {
  BOOST_TEST(read_all(archive_of("tar.gz.gz", {{"a.mid", {1}}}))
                 .error.starts_with("data: archive: no archive of .tar or .zip: "));
  // A stream that holds nothing, 10,000 times; of the smallest blocks, since the library clears a block for each.
  const Bytes nothing{'B', 'Z', 'h', '1', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0};
  Bytes streams;
  for (int i = 0; i < 10'000; ++i) streams.insert(streams.end(), nothing.begin(), nothing.end());
  const std::clock_t start = std::clock();
  BOOST_TEST(read_all(streams).error.starts_with("data: archive: no archive of .tar or .zip: "));
  BOOST_TEST(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 10);
}

BOOST_AUTO_TEST_CASE(members_before_the_damage_are_read) {
  std::vector<Entry> entries;
  for (int i = 0; i < 20; ++i) entries.push_back({joined("piece", i, ".mid"), noise(i, 20'000)});
  for (const std::string& kind : kinds) {
    const Bytes whole = archive_of(kind, entries);
    for (const double share : {0.02, 0.5, 0.9}) {
      const Bytes cut(whole.begin(),
                      whole.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(whole.size())));
      const Read read = read_all(cut);
      // A compression whose first block is cut off cannot be recognised.
      if (read.error.starts_with("data: archive: no archive of .tar or .zip: ") && (share < 0.1 || kind == "tar.bz2"))
        continue;
      BOOST_TEST_CONTEXT(kind << " " << share) {
        BOOST_TEST(read.error == "");
        BOOST_TEST(!read.damage.empty());
        if (kind == "tar" || kind == "tar.gz" || kind == "zip") BOOST_TEST(std::ssize(read.members) >= share * 20 - 2);
        for (size_t i = 0; i < read.members.size(); ++i) {
          BOOST_TEST(read.members[i].name == entries[i].name);
          const bool last = i + 1 == read.members.size();
          BOOST_TEST((read.members[i].bytes == entries[i].bytes || (last && !read.members[i].reason.empty())));
        }
      }
    }
  }
  BOOST_TEST(read_all({}).error.starts_with("data: archive: "));
  BOOST_TEST(read_all(Bytes(1000, 'x')).error.starts_with("data: archive: no archive of .tar or .zip: "));
  // One damaged header in the middle: the others are found again.
  Bytes hit = archive_of("tar", entries);
  hit[5 * (20'480 + 512) + 3] ^= 0xFF;
  const Read read = read_all(hit);
  BOOST_TEST(read.members.size() == 19u);
  BOOST_TEST(read.damage == std::vector<std::string>{"damaged behind its first 5 members: Damaged tar archive"},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(random_damage_is_survived) {
  std::vector<Entry> entries;
  for (int i = 0; i < 6; ++i) entries.push_back({joined("piece", i, ".mid"), noise(i, 3000)});
  Random random{11};
  int unhurt = 0, read_something = 0;
  for (const std::string& kind : kinds) {
    const Bytes whole = archive_of(kind, entries);
    for (int round = 0; round < 150; ++round) {
      Bytes bytes = whole;
      for (int64_t flips = 1 + random.below(4); flips > 0; --flips)
        bytes[random.below(std::ssize(bytes))] ^= static_cast<uint8_t>(1 << random.below(8));
      const Read read = read_all(bytes, {.member_bytes = 100'000, .free_expansion = 10 << 20});
      unhurt += read.error.empty() && read.damage.empty();
      read_something += !read.members.empty();
    }
  }
  BOOST_TEST(unhurt < 900);
  BOOST_TEST(read_something > 300);
}

BOOST_AUTO_TEST_SUITE_END()
