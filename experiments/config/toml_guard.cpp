#include "experiments/config/toml_guard.h"

#include <algorithm>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr int max_dots = 32;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF", blanks = " \t\r\n";

bool is_blank(char c) { return blanks.find(c) != blanks.npos; }

class Guard {
 public:
  Guard(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  void look() {
    if (text_.starts_with(byte_order_mark)) text_.remove_prefix(byte_order_mark.size());
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if ((c == '"' || c == '\'') && !started_)
        pass_string(c);
      else
        follow(c);
    }
  }

 private:
  void require_ascii(size_t at) const {
    require(at >= text_.size() || (text_[at] & 0x80) == 0, origin_, ":", line_,
            ": a letter beyond ASCII outside strings and comments, or behind a backslash");
  }

  void pass_string(char quote) {
    started_ = true;
    const bool long_string = text_.substr(at_, 3) == std::string(3, quote);
    const std::string_view end = text_.substr(at_, long_string ? 3 : 1);
    for (at_ += end.size(); at_ < text_.size() && text_.substr(at_, end.size()) != end; ++at_) {
      if (text_[at_] == '\\' && quote == '"')
        require_ascii(long_string ? text_.find_first_not_of(blanks, ++at_) : ++at_);
      if (at_ < text_.size() && text_[at_] == '\n') {
        ++line_;
        if (!long_string) break;
      }
    }
    at_ += end.size();
    // Up to two quotes before the closing three belong to the string: """a"""""
    for (int extra = 0; long_string && extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra) ++at_;
  }

  void follow(char c) {
    require_ascii(at_++);
    if (c == '\n') end_line();
    if (c == '.')
      require(++dots_ <= max_dots, origin_, ":", line_, ": more than ", max_dots, " dots outside strings in one line");
    const char innermost = open_.empty() ? '\n' : open_.back();
    if ((c == ']' && innermost == '[') || (c == '}' && innermost == '{')) {
      open_.pop_back();
      in_value_ = started_ = true;
    } else if (c == ',') {
      in_value_ = started_ = false;
    } else if (in_value_ || innermost == '[') {
      follow_value(c);
    } else {
      follow_key(c);
    }
  }

  void end_line() {
    ++line_;
    dots_ = 0;
    if (open_.empty()) in_value_ = started_ = false;
  }

  void follow_value(char c) {
    if ((c == '[' || c == '{') && !started_) {
      open_ += c;
      in_value_ = false;
    } else if (!is_blank(c)) {
      started_ = true;
    }
  }

  void follow_key(char c) {
    if (c == '=') {
      in_value_ = true;
      started_ = false;
    } else if (c == '.' || c == '[') {  // the next part of a key; a header
      started_ = false;
    } else if (!is_blank(c)) {
      started_ = true;
    }
  }

  std::string_view text_;
  const std::string& origin_;
  size_t at_ = 0;
  int line_ = 1, dots_ = 0;
  std::string open_;       // the [ of arrays and the { of tables that are not closed yet
  bool in_value_ = false;  // behind the = of a key
  bool started_ = false;   // this part of a key, or this value, has a character already
};

}  // namespace

void refuse_what_breaks_the_parser(std::string_view text, const std::string& origin) { Guard(text, origin).look(); }

}  // namespace poph
