#include "experiments/config/styles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/files/text.h"
#include "experiments/config/numbers.h"
#include "experiments/config/toml.h"

namespace poph {
namespace {

constexpr size_t max_shown = 40;
constexpr double rounding = 1e-6;  // of the sum of shares: 0.333333 three times is 1

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  return first == text.npos ? "" : text.substr(first, last - first + 1);
}

// The words between commas: the name and the number, or an empty one.
std::vector<std::pair<std::string, std::string>> words_of(const std::string& words) {
  std::vector<std::pair<std::string, std::string>> found;
  for (size_t begin = 0, end; begin <= words.size(); begin = end + 1) {
    end = std::min(words.find(',', begin), words.size());
    const std::string word = words.substr(begin, end - begin);
    const size_t equals = std::min(word.find('='), word.size());
    found.emplace_back(trimmed(word.substr(0, equals)), trimmed(word.substr(std::min(equals + 1, word.size()))));
  }
  return found;
}

bool is_one_name(const std::string& words) { return words.find_first_of(",=") == words.npos; }

}  // namespace

std::string style_words_problem(const std::string& words) {
  const std::string wrong = fmt::format(
      "found \"{}\", expected the name of a style, or shares such as bach=0.7,satie=0.3", printable(words, max_shown));
  if (is_one_name(words)) return trimmed(words).empty() ? wrong : "";
  for (const auto& [name, number] : words_of(words)) {
    if (name.empty() || number.empty()) return wrong;
    const std::string problem = number_problem(number, RealRange{.at_least = 0, .at_most = 1});
    if (!problem.empty()) return printable(name, max_shown) + ": " + problem;
  }
  return "";
}

std::vector<StyleShare> parse_style_words(const std::string& words) {
  if (is_one_name(words)) return {{trimmed(words), 1}};
  std::vector<StyleShare> shares;
  for (const auto& [name, share] : words_of(words)) shares.push_back({name, number(share)});
  return shares;
}

std::string mixture_problem(const std::vector<StyleShare>& shares, const std::vector<Style>& styles) {
  if (shares.empty()) return "";
  if (styles.empty()) return "this model has no styles: model.styles is an empty list";
  std::vector<std::string> names;
  for (const Style& style : styles) names.push_back(style.name);
  std::set<std::string> seen;
  double sum = 0;
  for (const auto& [name, share] : shares) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      return fmt::format("found the style \"{}\", expected some of {}: did you mean \"{}\"?",
                         printable(name, max_shown), style_names(styles), nearest(name, names));
    if (!seen.insert(name).second) return fmt::format("found the style \"{}\" twice", printable(name, max_shown));
    sum += share;
  }
  if (!(std::abs(sum - 1) <= rounding)) return fmt::format("the shares sum to {:.6g}, expected 1", sum);
  return "";
}

std::vector<double> mixture_of(const std::vector<StyleShare>& shares, const std::vector<Style>& styles) {
  std::vector<double> mixture(styles.size(), shares.empty() ? 1 / static_cast<double>(styles.size()) : 0);
  for (size_t i = 0; i < styles.size(); ++i)
    for (const auto& [name, share] : shares)
      if (name == styles[i].name) mixture[i] = share;
  return mixture;
}

std::string mixture_text(const std::vector<double>& mixture, const std::vector<Style>& styles) {
  std::string text;
  for (size_t i = 0; i < styles.size(); ++i)
    if (mixture[i] > 0)
      text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", printable(styles[i].name), mixture[i]);
  return text;
}

std::string mixture_line(const std::vector<StyleShare>& shares, const std::vector<Style>& styles, const char* option) {
  if (styles.empty()) return "";
  return fmt::format("style: {}{}", mixture_text(mixture_of(shares, styles), styles),
                     shares.empty() ? fmt::format(" (equal shares; {} chooses others)", option) : "");
}

std::string style_names(const std::vector<Style>& styles) {
  std::string names;
  for (const Style& style : styles) names += (names.empty() ? "" : ", ") + printable(style.name);
  return names;
}

}  // namespace poph
