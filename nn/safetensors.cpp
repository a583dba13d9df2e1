#include "nn/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "data/files/file.h"
#include "data/files/text.h"

namespace poph {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are read and written as they lie in memory");

constexpr uint64_t length_bytes = 8;
constexpr uint64_t max_header_bytes = 100'000'000;  // the reference reader's limit
constexpr uint64_t max_number = uint64_t{1} << 53;  // beyond it JSON readers disagree
constexpr size_t max_axes = 64;

constexpr std::pair<std::string_view, uint64_t> bits_of_dtypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},    {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};

uint64_t bits_of(std::string_view dtype) {  // 0: no such dtype
  for (const auto& [name, bits] : bits_of_dtypes)
    if (name == dtype) return bits;
  return 0;
}

std::optional<Dtype> dtype_called(std::string_view name) {
  if (name == "F32") return Dtype::f32;
  if (name == "F64") return Dtype::f64;
  if (name == "I32") return Dtype::i32;
  if (name == "BF16") return Dtype::bf16;
  return std::nullopt;
}
const char* name_of(Dtype dtype) {
  return dtype == Dtype::f32 ? "F32" : dtype == Dtype::f64 ? "F64" : dtype == Dtype::bf16 ? "BF16" : "I32";
}

// SAX, because the parser's own tree keeps the last of two equal names without a word and turns huge integers into
// floats.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}
  SafetensorsHeader header;

  bool null() override { wrong("null"); }
  bool boolean(bool) override { wrong("a truth value"); }
  bool number_integer(int64_t value) override { wrong(joined(value)); }
  bool number_float(double, const std::string& text) override { wrong(printable(text)); }
  bool binary(binary_t&) override { wrong("binary data"); }

  bool number_unsigned(uint64_t value) override {
    if (where_ != Where::shape && where_ != Where::offsets) wrong(joined(value));
    if (value > max_number) wrong(joined(value));
    auto& numbers = where_ == Where::shape ? entry_.shape : offsets_;
    require(numbers.size() < max_axes, about(), field_, " has more than ", max_axes, " numbers");
    numbers.push_back(value);
    return true;
  }

  bool string(std::string& value) override {
    if (where_ == Where::metadata)
      header.metadata[field_] = value;
    else if (where_ == Where::tensor && field_ == "dtype")
      entry_.dtype = value;
    else
      wrong("a string");
    return true;
  }

  bool key(std::string& name) override {
    if (where_ == Where::root) {
      require(names_.insert(name).second, path_, ": two tensors called \"", printable(name), "\" in the header");
      entry_ = TensorEntry{name, {}, {}, 0, 0};
      offsets_.clear();
      fields_.clear();
    } else if (where_ == Where::metadata) {
      require(!header.metadata.contains(name), path_, ": \"", printable(name), "\" twice in __metadata__");
    } else {
      require(name == "dtype" || name == "shape" || name == "data_offsets", about(), "unknown key \"", printable(name),
              "\", expected dtype, shape and data_offsets");
      require(fields_.insert(name).second, about(), name, " is there twice");
    }
    field_ = name;
    return true;
  }

  bool start_object(size_t) override {
    if (where_ == Where::outside)
      where_ = Where::root;
    else if (where_ == Where::root)
      where_ = entry_.name == "__metadata__" ? Where::metadata : Where::tensor;
    else
      wrong("an object");
    return true;
  }

  bool end_object() override {
    if (where_ == Where::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"})
        require(fields_.contains(field), about(), "no ", field);
      require(offsets_.size() == 2, about(), "data_offsets has ", offsets_.size(), " numbers, expected 2");
      require(offsets_[0] <= offsets_[1], about(), "data_offsets end at ", offsets_[1], ", before they begin at ",
              offsets_[0]);
      entry_.begin = offsets_[0];
      entry_.bytes = offsets_[1] - offsets_[0];
      header.entries.push_back(std::move(entry_));
    }
    where_ = where_ == Where::root ? Where::outside : Where::root;
    return true;
  }

  bool start_array(size_t) override {
    if (where_ == Where::tensor && field_ == "shape")
      where_ = Where::shape;
    else if (where_ == Where::tensor && field_ == "data_offsets")
      where_ = Where::offsets;
    else
      wrong("an array");
    return true;
  }

  bool end_array() override {
    where_ = Where::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail(path_, ": the header is not JSON in UTF-8 (at byte ", position, " of it)");
  }

 private:
  enum class Where { outside, root, metadata, tensor, shape, offsets };

  std::string about() const { return joined(path_, ": tensor \"", printable(entry_.name), "\": "); }

  [[noreturn]] void wrong(const std::string& found) const {
    if (where_ == Where::metadata)
      fail(path_, ": __metadata__ \"", printable(field_), "\" is ", found, ", expected a string");
    if (where_ == Where::root && entry_.name == "__metadata__")
      fail(path_, ": __metadata__ is ", found, ", expected an object");
    if (where_ == Where::root) fail(about(), "the header says ", found, ", expected an object");
    if (where_ == Where::tensor)
      fail(about(), field_, " is ", found, ", expected ", field_ == "dtype" ? "a string" : "an array of whole numbers");
    fail(about(), field_, " holds ", found, ", expected whole numbers from 0 to 2^53");
  }

  const std::string& path_;
  Where where_ = Where::outside;
  TensorEntry entry_;
  std::string field_;
  std::vector<uint64_t> offsets_;
  std::set<std::string> names_, fields_;  // not by hash: names can be chosen so that they all fall into one bucket
};

std::string text_of(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += joined(i ? "," : "", shape[i]);
  return text + "]";
}

// The bytes that dtype and shape ask for. An axis of size 0 does not excuse others whose product means nothing.
uint64_t bytes_expected(const std::string& path, const TensorEntry& entry) {
  uint64_t bits = bits_of(entry.dtype);
  require(bits != 0, path, ": tensor \"", printable(entry.name), "\": unknown dtype \"", printable(entry.dtype), "\"");
  for (uint64_t size : entry.shape)
    require(!__builtin_mul_overflow(bits, std::max<uint64_t>(size, 1), &bits), path, ": tensor \"",
            printable(entry.name), "\": shape ", text_of(entry.shape), " has more elements than can be counted");
  if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) return 0;
  require(bits % 8 == 0, path, ": tensor \"", printable(entry.name), "\": ", entry.dtype, " ", text_of(entry.shape),
          " does not fill whole bytes");
  return bits / 8;
}

SafetensorsHeader read_header(const std::string& path, const InputFile& file) {
  require(file.size() >= length_bytes, path, ": ", file.size(), " bytes, too short for a safetensors file");
  uint64_t json_bytes = 0;
  file.read(0, &json_bytes, length_bytes);
  require(json_bytes <= max_header_bytes, path, ": not a safetensors file, or damaged: its header would have ",
          json_bytes, " bytes, expected at most ", max_header_bytes);
  require(json_bytes <= file.size() - length_bytes, path, ": truncated: its header has ", json_bytes,
          " bytes, the file ", file.size() - length_bytes, " after the length");
  std::string json(json_bytes, '\0');
  file.read(length_bytes, json.data(), json_bytes);
  require(json.starts_with('{'), path, ": not a safetensors file, or damaged: its header does not begin with {");
  // The parser takes a NUL for the end of its input and would not look at the rest.
  require(json.find('\0') == std::string::npos, path, ": the header is not JSON in UTF-8 (at byte ",
          json.find('\0') + 1, " of it)");

  HeaderReader reader(path);
  nlohmann::json::sax_parse(json, &reader);
  SafetensorsHeader& header = reader.header;
  header.bytes = length_bytes + json_bytes;
  std::sort(header.entries.begin(), header.entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.bytes, a.name) < std::tie(b.begin, b.bytes, b.name);
  });
  uint64_t end = 0;
  for (const TensorEntry& entry : header.entries) {
    const std::string name = printable(entry.name);
    require(entry.begin == end, path, ": tensor \"", name, "\" begins at byte ", entry.begin, ", expected ", end,
            ": the one before it ", entry.begin < end ? "overlaps it" : "leaves a hole");
    const uint64_t expected = bytes_expected(path, entry);
    require(entry.bytes == expected, path, ": tensor \"", name, "\" has ", entry.bytes, " bytes, expected ", expected,
            " for ", entry.dtype, " ", text_of(entry.shape));
    end += entry.bytes;
  }
  const uint64_t there = file.size() - header.bytes;
  require(there >= end, path, ": truncated: ", there, " bytes of tensors, expected ", end);
  require(there <= end, path, ": ", there - end, " bytes after the last tensor, expected none");
  return std::move(header);
}

}  // namespace

SafetensorsHeader inspect_safetensors(const std::string& path) { return read_header(path, InputFile(path)); }

TensorFile read_safetensors(const std::string& path) {
  const InputFile input(path);
  SafetensorsHeader header = read_header(path, input);
  TensorFile file;
  for (const TensorEntry& entry : header.entries) {
    const auto dtype = dtype_called(entry.dtype);
    require(dtype.has_value(), path, ": tensor \"", printable(entry.name), "\" is ", entry.dtype,
            ", expected F32, F64, BF16 or I32");
    require(entry.shape.size() <= Shape::max_rank, path, ": tensor \"", printable(entry.name), "\" has ",
            entry.shape.size(), " axes, expected at most ", Shape::max_rank);
    Shape shape;
    for (uint64_t size : entry.shape) shape.append(static_cast<int64_t>(size));
    Tensor tensor(shape, *dtype);
    input.read(header.bytes + entry.begin, tensor.raw(), entry.bytes);
    file.tensors.emplace(entry.name, tensor);
  }
  file.metadata = std::move(header.metadata);
  return file;
}

std::string safetensors_bytes(const TensorFile& file) {
  using Named = std::pair<const std::string*, Tensor>;
  std::vector<Named> ordered;
  for (const auto& [name, tensor] : file.tensors) {
    require(tensor.defined(), "safetensors: tensor \"", printable(name), "\" holds nothing");
    require(name != "__metadata__", "safetensors: no tensor may be called __metadata__");
    ordered.emplace_back(&name, tensor.to(Device::cpu));
  }
  auto rank = [](Dtype dtype) {
    return dtype == Dtype::f64 ? 0 : dtype == Dtype::f32 ? 1 : dtype == Dtype::i32 ? 2 : 3;
  };
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](const Named& a, const Named& b) { return rank(a.second.dtype()) < rank(b.second.dtype()); });

  auto quoted = [](const std::string& text) {
    try {
      return nlohmann::json(text).dump();
    } catch (const nlohmann::json::exception&) {
      fail("safetensors: \"", printable(text), "\" is not UTF-8");
    }
  };
  std::string json = "{";
  auto add = [&](const std::string& key, const std::string& value) {
    if (json.back() != '{') json += ',';
    json += quoted(key) + ':' + value;
  };
  if (!file.metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : file.metadata) add(key, quoted(value));
    json += '}';
  }
  size_t end = 0;
  for (const auto& [name, tensor] : ordered) {
    const size_t begin = std::exchange(end, end + tensor.bytes());
    add(*name, joined("{\"dtype\":\"", name_of(tensor.dtype()), "\",\"shape\":", tensor.shape(), ",\"data_offsets\":[",
                      begin, ",", end, "]}"));
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');  // keeps the numbers aligned
  require(json.size() <= max_header_bytes, "safetensors: a header of ", json.size(), " bytes, expected at most ",
          max_header_bytes);

  const uint64_t json_bytes = json.size();
  std::string bytes(length_bytes + json_bytes + end, '\0');
  char* to = bytes.data();
  auto put = [&](const void* from, size_t count) {
    if (count) std::memcpy(to, from, count);
    to += count;
  };
  put(&json_bytes, length_bytes);
  put(json.data(), json.size());
  for (const auto& [name, tensor] : ordered) put(tensor.raw(), tensor.bytes());
  return bytes;
}

void write_safetensors(const std::string& path, const TensorFile& file) {
  write_file_durably(path, safetensors_bytes(file));
}

}  // namespace poph
