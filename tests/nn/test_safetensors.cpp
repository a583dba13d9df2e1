#include "nn/safetensors.h"

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/files/file.h"
#include "data/files/text.h"
#include "poph_paths.h"
#include "tests/support/folder.h"
#include "tests/support/support.h"

namespace {

namespace fs = std::filesystem;
using namespace poph;
using test::Folder;
using test::message_of;
using test::write_plainly;

std::string bytes_of_number(uint64_t number) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &number, 8);
  return bytes;
}
std::string file_bytes(const std::string& json, size_t tensor_bytes = 0) {
  return bytes_of_number(json.size()) + json + std::string(tensor_bytes, '\0');
}

// The error that these bytes give, without the path in front. Reading and inspecting must agree.
std::string refusal(const std::string& bytes) {
  const Folder folder;
  const std::string path = folder / "x.safetensors";
  write_plainly(path, bytes);
  const std::string read = message_of([&] { read_safetensors(path); });
  BOOST_TEST(read == message_of([&] { inspect_safetensors(path); }));
  if (!read.starts_with(path + ": ")) return read;
  BOOST_TEST(read.find('\n') == std::string::npos);
  return read.substr(path.size() + 2);
}
std::string header_refusal(const std::string& json, size_t tensor_bytes = 0) {
  return refusal(file_bytes(json, tensor_bytes));
}
std::string entry_refusal(const std::string& entry, size_t tensor_bytes = 8) {
  return header_refusal("{\"a\":" + entry + "}", tensor_bytes);
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}
bool same(const TensorFile& a, const TensorFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors)
    if (!b.tensors.contains(name) || !same(tensor, b.tensors.at(name))) return false;
  return true;
}

TensorFile one_of_each() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {{{"b", Tensor::from({0, -1}, {2}, Dtype::i32)},
           {"a", Tensor::from({1.5}, {}, Dtype::f64)},
           {"c", Tensor({0, 3}, Dtype::f32)},
           {"z\"\n\x01\x7f\xc3\xa9", Tensor::from({1, nan}, {1, 2}, Dtype::f32)}},
          {{"k", "v\"\n\t\x02\xc3\xa9/"}}};
}

BOOST_AUTO_TEST_SUITE(safetensors)

BOOST_AUTO_TEST_CASE(what_is_written_is_read_back) {
  const Folder folder;
  const TensorFile file = one_of_each();
  write_safetensors(folder / "x", file);
  BOOST_TEST(same(read_safetensors(folder / "x"), file));
  BOOST_TEST(folder.names() == std::set<std::string>{"x"}, boost::test_tools::per_element());
}

// These bytes are safetensors 0.8.0's own for the same tensors.
BOOST_AUTO_TEST_CASE(the_layout_is_the_reference_writers) {
  TensorFile file = one_of_each();
  file.tensors["z\"\n\x01\x7f\xc3\xa9"] = Tensor::full({1, 2}, 1, Dtype::f32);
  file.tensors["b"] = Tensor::from({0, 1}, {2}, Dtype::i32);
  const std::string expected =
      std::string("\x10\x01\0\0\0\0\0\0", 8) +
      R"({"__metadata__":{"k":"v\"\n\t\u0002é/"},"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
      R"("c":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},"z\"\n\u0001)"
      "\x7f"
      R"(é":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},)"
      R"("b":{"dtype":"I32","shape":[2],"data_offsets":[16,24]}})" +
      std::string("\0\0\0\0\0\0\xf8?\0\0\x80?\0\0\x80?\0\0\0\0\1\0\0\0", 24);
  BOOST_TEST(safetensors_bytes(file) == expected);
  BOOST_TEST(safetensors_bytes({}) == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  BOOST_TEST(safetensors_bytes({{}, {{"framework", "pt"}}}) ==
             std::string("\x28\0\0\0\0\0\0\0", 8) + "{\"__metadata__\":{\"framework\":\"pt\"}}     ");
}

BOOST_AUTO_TEST_CASE(golden_files_keep_every_byte) {
  const Folder folder;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(POPH_SOURCE_ROOT "/tests/golden")) {
    if (entry.path().extension() != ".safetensors") continue;
    BOOST_TEST_CONTEXT(entry.path()) {
      const std::string theirs = read_file(entry.path()), ours = safetensors_bytes(read_safetensors(entry.path()));
      // Their JSON has spaces after its commas, so the headers are compared as values, in order.
      const auto split = [](const std::string& bytes) {
        uint64_t length = 0;
        std::memcpy(&length, bytes.data(), 8);
        return std::pair(nlohmann::ordered_json::parse(bytes.substr(8, length)), bytes.substr(8 + length));
      };
      BOOST_TEST((split(theirs) == split(ours)));
      BOOST_TEST(split(theirs).second.size() > 7000u);
      const SafetensorsHeader header = inspect_safetensors(entry.path());
      BOOST_TEST(header.entries.size() == read_safetensors(entry.path()).tensors.size());
      ++files;
    }
  }
  BOOST_TEST(files >= 2);
}

BOOST_AUTO_TEST_CASE(inspecting_lists_every_legal_dtype) {
  const Folder folder;
  write_plainly(folder / "x",
                file_bytes(R"({"__metadata__":{"format":"pt"},"h":{"dtype":"F16","shape":[2,3],"data_offsets":[3,15]},)"
                           R"("six":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})",
                           12 + 3));
  const SafetensorsHeader header = inspect_safetensors(folder / "x");
  BOOST_TEST(header.metadata.at("format") == "pt");
  BOOST_REQUIRE(header.entries.size() == 2u);
  BOOST_TEST(header.entries[0].name == "six");
  BOOST_TEST(header.entries[1].dtype == "F16");
  BOOST_TEST((header.entries[1].shape == std::vector<uint64_t>{2, 3}));
  BOOST_TEST(header.entries[1].bytes == 12u);
  BOOST_TEST(message_of([&] { read_safetensors(folder / "x"); }) ==
             (folder / "x") + ": tensor \"six\" is F6_E2M3, expected F32, F64, BF16 or I32");
}

BOOST_AUTO_TEST_CASE(legal_corners_are_read) {
  const Folder folder;
  const auto read = [&](const std::string& json, size_t bytes) {
    write_plainly(folder / "x", file_bytes(json, bytes));
    return read_safetensors(folder / "x");
  };
  BOOST_TEST(read("{}", 0).tensors.empty());
  BOOST_TEST(read("{\"__metadata__\":{}}   \n", 0).metadata.empty());
  const TensorFile file = read(R"({"b":{"shape":[1],"data_offsets":[8,12],"dtype":"I32"},
    "scalar":{"dtype":"F64","shape":[],"data_offsets":[0,8]},
    "none":{"dtype":"F32","shape":[7,0],"data_offsets":[8,8]},
    "\u0061":{"dtype":"F32","shape":[1,1,1,1,1,1],"data_offsets":[12,16]}})",
                               16);
  BOOST_TEST(file.tensors.at("scalar").shape() == Shape{});
  BOOST_TEST(file.tensors.at("scalar").elements() == 1);
  BOOST_TEST(file.tensors.at("none").shape() == (Shape{7, 0}));
  BOOST_TEST(file.tensors.at("none").elements() == 0);
  BOOST_TEST(file.tensors.contains("a"));
}

BOOST_AUTO_TEST_CASE(lengths_that_lie_are_refused) {
  BOOST_TEST(refusal("") == "0 bytes, too short for a safetensors file");
  BOOST_TEST(refusal("\1\0\0") == "1 bytes, too short for a safetensors file");
  BOOST_TEST(refusal(bytes_of_number(~uint64_t{0}) + "{}") ==
             "not a safetensors file, or damaged: its header would have 18446744073709551615 bytes, expected at most "
             "100000000");
  BOOST_TEST(refusal(bytes_of_number(100'000'001) + "{}") ==
             "not a safetensors file, or damaged: its header would have 100000001 bytes, expected at most 100000000");
  BOOST_TEST(refusal(bytes_of_number(100'000'000) + "{}") ==
             "truncated: its header has 100000000 bytes, the file 2 after the length");
  BOOST_TEST(refusal(bytes_of_number(3) + "{}") == "truncated: its header has 3 bytes, the file 2 after the length");
  BOOST_TEST(refusal(bytes_of_number(0)) == "not a safetensors file, or damaged: its header does not begin with {");
  const std::string whole = safetensors_bytes(one_of_each());
  BOOST_TEST(refusal(whole.substr(0, whole.size() - 1)) == "truncated: 23 bytes of tensors, expected 24");
  BOOST_TEST(refusal(whole + "xy") == "2 bytes after the last tensor, expected none");
  BOOST_TEST(refusal(file_bytes("{}", 1)) == "1 bytes after the last tensor, expected none");
  for (size_t kept = 0; kept < whole.size(); ++kept) BOOST_TEST(refusal(whole.substr(0, kept)) != "no error");
}

BOOST_AUTO_TEST_CASE(headers_that_are_not_json_are_refused) {
  const auto not_json = [](int byte) {
    return "the header is not JSON in UTF-8 (at byte " + std::to_string(byte) + " of it)";
  };
  BOOST_TEST(header_refusal(" {}") == "not a safetensors file, or damaged: its header does not begin with {");
  BOOST_TEST(header_refusal("[]") == "not a safetensors file, or damaged: its header does not begin with {");
  BOOST_TEST(header_refusal("\xef\xbb\xbf{}") ==
             "not a safetensors file, or damaged: its header does not begin with {");
  BOOST_TEST(header_refusal("{") == not_json(2));
  BOOST_TEST(header_refusal("{}{}") == not_json(3));
  BOOST_TEST(header_refusal("{/**/}") == not_json(2));
  BOOST_TEST(header_refusal(std::string("{}\0}", 4)) == not_json(3));
  BOOST_TEST(header_refusal("{\"__metadata__\":{\"k\":\"\xff\"}}").starts_with("the header is not JSON in UTF-8"));
  BOOST_TEST(header_refusal("{\"__metadata__\":{\"k\":\"\\ud800\"}}").starts_with("the header is not JSON in UTF-8"));
  BOOST_TEST(
      header_refusal("{\"__metadata__\":{\"k\":\"\xed\xa0\x80\"}}").starts_with("the header is not JSON in UTF-8"));
  BOOST_TEST(header_refusal("{" + std::string(1'000'000, '[')).starts_with("the header is not JSON in UTF-8"));
  BOOST_TEST(header_refusal("{\"a\":" + std::string(1'000'000, '[')) ==
             "tensor \"a\": the header says an array, expected an object");
}

BOOST_AUTO_TEST_CASE(entries_of_wrong_types_are_refused) {
  BOOST_TEST(entry_refusal("3") == "tensor \"a\": the header says 3, expected an object");
  BOOST_TEST(entry_refusal("null") == "tensor \"a\": the header says null, expected an object");
  BOOST_TEST(entry_refusal("{}") == "tensor \"a\": no dtype");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2]})") == "tensor \"a\": no data_offsets");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","data_offsets":[0,8]})") == "tensor \"a\": no shape");
  BOOST_TEST(entry_refusal(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})") ==
             "tensor \"a\": dtype is 7, expected a string");
  BOOST_TEST(entry_refusal(R"({"dtype":["F32"],"shape":[2],"data_offsets":[0,8]})") ==
             "tensor \"a\": dtype is an array, expected a string");
  BOOST_TEST(entry_refusal(R"({"dtype":"f32","shape":[2],"data_offsets":[0,8]})") ==
             "tensor \"a\": unknown dtype \"f32\"");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})") ==
             "tensor \"a\": shape is 2, expected an array of whole numbers");
  const std::string whole = ", expected whole numbers from 0 to 2^53";
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds -1" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds 2.0" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[[2]],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds an array" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds a string" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[true],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds a truth value" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape holds 9007199254740993" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551624]})") ==
             "tensor \"a\": data_offsets holds 18446744073709551624" + whole);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})") ==
             "tensor \"a\": data_offsets has 1 numbers, expected 2");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})") ==
             "tensor \"a\": data_offsets has 3 numbers, expected 2");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})") ==
             "tensor \"a\": unknown key \"x\", expected dtype, shape and data_offsets");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]})") ==
             "tensor \"a\": shape is there twice");
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_fit_are_refused) {
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})") ==
             "tensor \"a\" has 8 bytes, expected 12 for F32 [3]");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})") ==
             "tensor \"a\": data_offsets end at 0, before they begin at 8");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 4) ==
             "truncated: 4 bytes of tensors, expected 8");
  BOOST_TEST(entry_refusal(R"({"dtype":"F64","shape":[1125899906842624],"data_offsets":[0,9007199254740992]})") ==
             "truncated: 8 bytes of tensors, expected 9007199254740992");
  // 2^53 * 2^53 * 2^53 * 2 elements are 0 modulo 2^64, and so are those with an empty axis among them.
  const std::string huge = "9007199254740992", shape = huge + "," + huge + "," + huge;
  const std::string uncountable = " has more elements than can be counted";
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[0,0]})", 0) ==
             "tensor \"a\": shape [" + shape + "]" + uncountable);
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[0,)" + shape + R"(],"data_offsets":[0,0]})", 0) ==
             "tensor \"a\": shape [0," + shape + "]" + uncountable);
  BOOST_TEST(entry_refusal(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", 1) ==
             "tensor \"a\": F4 [3] does not fill whole bytes");
  std::string axes = "1";
  for (int i = 0; i < 64; ++i) axes += ",1";
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","data_offsets":[0,4],"shape":[)" + axes + "]}", 4) ==
             "tensor \"a\": shape has more than 64 numbers");
  const Folder folder;  // legal, but more axes than ours have
  write_plainly(folder / "x", file_bytes(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4));
  BOOST_TEST(inspect_safetensors(folder / "x").entries[0].shape.size() == 7u);
  BOOST_TEST(message_of([&] { read_safetensors(folder / "x"); }) ==
             (folder / "x") + ": tensor \"a\" has 7 axes, expected at most 6");
}

BOOST_AUTO_TEST_CASE(holes_overlaps_and_twins_are_refused) {
  const auto two = [](const std::string& b, const std::string& offsets) {
    return header_refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},")" + b +
                              R"(":{"dtype":"F32","shape":[2],"data_offsets":)" + offsets + "}}",
                          20);
  };
  BOOST_TEST(two("b", "[12,20]") == "tensor \"b\" begins at byte 12, expected 8: the one before it leaves a hole");
  BOOST_TEST(two("b", "[4,12]") == "tensor \"b\" begins at byte 4, expected 8: the one before it overlaps it");
  BOOST_TEST(two("b", "[0,8]") == "tensor \"b\" begins at byte 0, expected 8: the one before it overlaps it");
  BOOST_TEST(two("a", "[8,16]") == "two tensors called \"a\" in the header");
  BOOST_TEST(two("\\u0061", "[8,16]") == "two tensors called \"a\" in the header");
  BOOST_TEST(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})", 12) ==
             "tensor \"a\" begins at byte 4, expected 0: the one before it leaves a hole");
}

BOOST_AUTO_TEST_CASE(metadata_holds_strings_only) {
  BOOST_TEST(header_refusal(R"({"__metadata__":{"k":1}})") == "__metadata__ \"k\" is 1, expected a string");
  BOOST_TEST(header_refusal(R"({"__metadata__":{"k":{}}})") == "__metadata__ \"k\" is an object, expected a string");
  BOOST_TEST(header_refusal(R"({"__metadata__":{"k":null}})") == "__metadata__ \"k\" is null, expected a string");
  BOOST_TEST(header_refusal(R"({"__metadata__":[]})") == "__metadata__ is an array, expected an object");
  BOOST_TEST(header_refusal(R"({"__metadata__":null})") == "__metadata__ is null, expected an object");
  BOOST_TEST(header_refusal(R"({"__metadata__":{"k":"a","k":"b"}})") == "\"k\" twice in __metadata__");
  BOOST_TEST(header_refusal(R"({"__metadata__":{},"__metadata__":{}})") ==
             "two tensors called \"__metadata__\" in the header");
}

BOOST_AUTO_TEST_CASE(hostile_names_stay_on_one_line) {
  BOOST_TEST(header_refusal("{\"a\\n\\u001b[31m\":1}") ==
             "tensor \"a\\n\\x1b[31m\": the header says 1, expected an object");
  BOOST_TEST(header_refusal("{\"" + std::string(5'000'000, 'a') + "\":1}").size() < 300u);
  BOOST_TEST(printable(std::string(119, 'x') + "\xc3\xa9") == std::string(119, 'x') + "\xc3\xa9");
  BOOST_TEST(printable(std::string(119, 'x') + "\xc3\xa9y") == std::string(119, 'x') + "\xc3\xa9..");
  BOOST_TEST(printable(std::string(200, '\x80'), 40).size() < 50u);
}

BOOST_AUTO_TEST_CASE(what_the_format_cannot_hold_is_not_written) {
  BOOST_TEST(message_of([] {
               safetensors_bytes({{{"\xff", Tensor::zeros({1}, Dtype::f32)}}, {}});
             }) == "safetensors: \"\xff\" is not UTF-8");
  BOOST_TEST(message_of([] {
               safetensors_bytes({{{"__metadata__", Tensor::zeros({1}, Dtype::f32)}}, {}});
             }) == "safetensors: no tensor may be called __metadata__");
  BOOST_TEST(message_of([] {
               safetensors_bytes({{{"w", Tensor()}}, {}});
             }) == "safetensors: tensor \"w\" holds nothing");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
