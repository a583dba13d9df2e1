#pragma once
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/files/file.h"
#include "data/files/text.h"
#include "experiments/config/number_list.h"
#include "experiments/config/numbers.h"
#include "experiments/config/toml.h"

// The words of a command line. Every option of the programs is made here, so that each judges its value before anything
// else happens, and says in one line of the same form what was expected: "--pieces: must be at least 1, is 0". CLI11's
// own conversions take "nan" for a number, "010" for eight and "-1" for 18446744073709551615.
namespace poph {

// Judges the words of `name`, then takes the last of them.
using Problem = std::function<std::string(const std::string& word)>;
using Take = std::function<void(const std::string& word)>;
inline CLI::Option* add_option(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                               Problem problem, Take take) {
  CLI::Option* option = app.add_option_function<std::string>(name, take, help);
  return option->type_name(type)->check(
      CLI::Validator([problem](std::string& word) { return problem(word); }, std::string(), name));
}

template <class Integer>
CLI::Option* add_whole_number(CLI::App& app, const std::string& name, Integer& x, int64_t min, int64_t max,
                              const std::string& help) {
  CLI::Option* option = add_option(
      app, name, "INT", help, [=](const std::string& word) { return whole_number_problem(word, min, max); },
      [&x](const std::string& word) { x = static_cast<Integer>(whole_number(word)); });
  return x >= static_cast<Integer>(min) ? option->default_str(fmt::format("{}", x)) : option;
}

// One of some words. The default is what `x` has; without one it stays empty.
inline CLI::Option* add_choice(CLI::App& app, const std::string& name, std::string& x,
                               const std::vector<std::string>& words, const std::string& help) {
  const std::string shown = fmt::format("{}", fmt::join(words, ", "));
  CLI::Option* option = add_option(
      app, name, "WORD", help + ": " + shown,
      [=](const std::string& word) {
        const bool known = std::find(words.begin(), words.end(), word) != words.end();
        return known ? "" : fmt::format("found \"{}\", expected one of {}", printable(word), shown);
      },
      [&x](const std::string& word) { x = word; });
  return x.empty() ? option : option->default_str(x);
}

// Paths are taken as a shell has them (with_home); an empty one is a variable that was not set, and is refused.
inline CLI::Validator a_path() {
  return CLI::Validator(
      [](std::string& word) -> std::string {
        if (word.empty()) return "found an empty path";
        word = with_home(word);
        return "";
      },
      std::string(), "path");
}
inline CLI::Option* add_path(CLI::App& app, const std::string& name, std::string& x, const std::string& help) {
  CLI::Option* option = app.add_option(name, x, help)->type_name("PATH")->transform(a_path());
  return x.empty() ? option : option->default_str(x);
}
inline CLI::Option* add_paths(CLI::App& app, const std::string& name, std::vector<std::string>& x,
                              const std::string& help) {
  return app.add_option(name, x, help)->type_name("PATH")->transform(a_path());
}

inline CLI::Option* add_overrides(CLI::App& app, std::vector<std::string>& x, const std::string& example) {
  return app.add_option("KEY=VALUE", x, "overrides, such as " + example)->type_name("TEXT");
}

inline CLI::Option* add_flag(CLI::App& app, const std::string& name, bool& x, const std::string& help) {
  return app.add_flag(name, x, help);
}

// CLI11 has values for flags: --json=0 is none.
inline void refuse_values_of_flags(CLI::App& app) {
  const auto no_value = [](std::string& word) {
    return word == "true" ? "" : fmt::format("takes no value, found \"{}\"", printable(word));
  };
  for (CLI::Option* option : app.get_options([](CLI::Option* one) { return one->get_expected_max() == 0; }))
    option->check(CLI::Validator(no_value, std::string(), "flag"));
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) refuse_values_of_flags(*command);
}

// An option that is the key of an experiment under a shorter name, with the key's own limits. It becomes an override
// behind those of the command line.
inline CLI::Option* add_key(CLI::App& app, const std::string& name, const std::string& type, const std::string& key,
                            std::vector<std::string>& overrides, const std::string& help) {
  const bool path = type == "PATH", list = type == "LIST", text = path || list || type == "TEXT";
  return add_option(
      app, name, type, help,
      [=](const std::string& word) {
        if (list) return number_list_problem(word, "bars such as 1-8,13-16");
        return text && word.empty() ? path ? "found an empty path" : "found an empty text" : key_problem(key, word);
      },
      [=, &overrides](const std::string& word) {
        overrides.push_back(key + "=" +
                            (text            ? toml_quoted(word)
                             : type == "INT" ? fmt::format("{}", whole_number(word))
                                             : real_digits(number(word))));
      });
}

// The exit code where the program ends here: 0 after --help and --version, 2 after one line on standard error.
inline std::optional<int> parse_words(CLI::App& app, const char* program, int argc, char** argv) {
  refuse_values_of_flags(app);
  try {
    app.parse(argc, argv);
    return {};
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "%s: %s (--help lists the options)\n", program, printable(error.what(), 1000).c_str());
    return 2;
  }
}

}  // namespace poph
