#include "experiments/workspace/run_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <iterator>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "data/files/json_text.h"
#include "data/files/text.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr const char* status_names[] = {"pending", "running", "finished", "interrupted", "failed", "diverged"};

template <class T>
concept Record = requires(T& record) {
  T::each_field(record, [](auto&&...) {});
};

template <class T>
concept RecordList = requires {
  typename T::value_type;
}
&&Record<typename T::value_type>;

using Keys = decltype(Measures::keys);
constexpr int keys_in_all = 24;

struct NamedKey {  // a KeyFit as it is written
  std::string key;
  double r = not_known, margin = not_known;

  template <class Self, class F>
  static void each_field(Self& s, F f) {
    f("key", s.key), f("r", s.r), f("margin", s.margin);
  }
};

int key_of_name(const std::string& name) {
  for (int key = 0; key < keys_in_all; ++key)
    if (key_name(key) == name) return key;
  return -1;
}

template <class M, class F>
void each_field_of_measures(M& measures, F f) {
  each_measure(measures, f);
  f("keys", measures.keys);
}

// -- writing

template <class Json, class T>
Json json_of(const T& value);

template <class Json>
struct Writer {
  Json& object;

  void operator()(const Measures& measures) const { each_field_of_measures(measures, *this); }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value) const {
    if (value) (*this)(name, *value);
  }
  template <class T>
  void operator()(const char* name, const T& value) const {
    Json written = json_of<Json>(value);
    if (!Record<T> || !written.empty()) object[name] = std::move(written);
  }
};

template <class Json, class T>
Json json_of(const T& value) {
  if constexpr (Record<T>) {
    Json object = Json::object();
    T::each_field(value, Writer<Json>{object});
    return object;
  } else if constexpr (std::same_as<T, double>) {
    return std::isfinite(value) ? Json(value) : Json();
  } else if constexpr (std::same_as<T, std::string>) {
    return value.empty() ? Json() : Json(value);
  } else if constexpr (std::same_as<T, RunStatus>) {
    return status_name(value);
  } else if constexpr (RecordList<T> || std::same_as<T, std::vector<double>>) {
    Json list = Json::array();
    for (const auto& one : value) list.push_back(json_of<Json>(one));
    return list;
  } else if constexpr (std::same_as<T, Keys>) {
    Json object = Json::object();
    for (size_t i = 0; i < key_profiles.size(); ++i)
      object[key_profiles[i].name] = json_of<Json>(NamedKey{key_name(value[i].key), value[i].r, value[i].margin});
    return object;
  } else {
    return Json(value);
  }
}

// -- reading

using nlohmann::json;

[[noreturn]] void reject(const json& found, const std::string& name, const char* expected) {
  fail("\"", name, "\" is ", printable(json_text(found), 40), ", expected ", expected);
}

template <class T>
void read(const json& found, const std::string& name, T& value);

struct Reader {
  const json& object;
  std::string name;  // of the object: "" or "best."

  void operator()(Measures& measures) const { each_field_of_measures(measures, *this); }
  template <class T>
  void operator()(const char* member, std::optional<T>& value) const {
    if (const auto found = object.find(member); found != object.end() && !found->is_null())
      read(*found, name + member, value.emplace());
  }
  template <class T>
  void operator()(const char* member, T& value) const {
    if constexpr (std::same_as<T, double>) value = not_known;
    if (const auto found = object.find(member); found != object.end() && !found->is_null())
      read(*found, name + member, value);
  }
};

template <class T>
void read(const json& found, const std::string& name, T& value) {
  if constexpr (Record<T>) {
    if (!found.is_object()) reject(found, name, "an object");
    T::each_field(value, Reader{found, name + "."});
  } else if constexpr (std::same_as<T, bool>) {
    if (!found.is_boolean()) reject(found, name, "true or false");
    value = found.get<bool>();
  } else if constexpr (std::is_arithmetic_v<T>) {
    if (!found.is_number()) reject(found, name, "a number");
    value = found.get<T>();
  } else if constexpr (std::same_as<T, std::string>) {
    if (!found.is_string()) reject(found, name, "a text");
    value = found.get<std::string>();
  } else if constexpr (std::same_as<T, RunStatus>) {
    std::string text;
    read(found, name, text);
    const auto status = find_status(text);
    if (!status) reject(found, name, "the status of a run");
    value = *status;
  } else if constexpr (std::same_as<T, std::map<std::string, int64_t>>) {
    if (!found.is_object()) reject(found, name, "an object");
    for (const auto& [key, one] : found.items()) read(one, name + "." + key, value[key]);
  } else if constexpr (std::same_as<T, Keys>) {
    if (!found.is_object()) reject(found, name, "an object");
    for (size_t i = 0; i < key_profiles.size(); ++i) {
      NamedKey key;
      Reader{found, name + "."}(key_profiles[i].name, key);
      value[i] = {key_of_name(key.key), key.r, key.margin};
    }
  } else if constexpr (std::same_as<T, PitchClasses>) {
    if (!found.is_array() || found.size() != value.size()) reject(found, name, "a list of 12 numbers");
    for (size_t i = 0; i < value.size(); ++i) read(found[i], name, value[i]);
  } else {  // a vector
    if (!found.is_array()) reject(found, name, "a list");
    value.clear();
    for (const json& one : found) {
      auto& next = value.emplace_back();
      if constexpr (std::same_as<T, std::vector<double>>) next = not_known;
      if (!one.is_null()) read(one, name, next);
    }
  }
}

}  // namespace

const char* status_name(RunStatus status) { return status_names[static_cast<size_t>(status)]; }

std::optional<RunStatus> find_status(const std::string& name) {
  const auto found = std::find(std::begin(status_names), std::end(status_names), name);
  if (found == std::end(status_names)) return std::nullopt;
  return static_cast<RunStatus>(found - std::begin(status_names));
}

std::string condition_text(const ConditionReport& report, int64_t particles) {
  return fmt::format("log probability {:.1f}, effective size at least {:.1f} of {} particle{}, resampled {} time{}",
                     report.log_probability, report.smallest_effective_size, particles, particles == 1 ? "" : "s",
                     report.resampled, report.resampled == 1 ? "" : "s");
}

std::string run_record_text(const RunRecord& record) { return json_text(json_of<json>(record), 2) + "\n"; }

RunRecord parse_run_record(const std::string& text, const std::string& path) {
  const json parsed = json::parse(text, nullptr, false);
  require(parsed.is_object(), path, ": not a JSON object as PopH writes it");
  RunRecord record;
  try {
    RunRecord::each_field(record, Reader{parsed, ""});
  } catch (const Error& error) {
    fail(path, ": not as PopH writes it: ", error.what());
  }
  return record;
}

nlohmann::ordered_json likelihood_json(const LikelihoodRecord& likelihood) {
  return json_of<nlohmann::ordered_json>(likelihood);
}

nlohmann::ordered_json likelihood_json(const FiguresRecord& figures) {
  return json_of<nlohmann::ordered_json>(figures);
}

nlohmann::ordered_json condition_json(const ConditionReport& report) { return json_of<nlohmann::ordered_json>(report); }

}  // namespace poph
