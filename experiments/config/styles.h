#pragma once
#include <string>
#include <vector>

#include "experiments/config/settings.h"

// Mixtures of styles (MODEL.md "Styles"): what generate.style and --style say, and what a model reads of it.
namespace poph {

// What is wrong with the words of --style, "bach=0.7,satie=0.3" or one name alone; empty: nothing.
std::string style_words_problem(const std::string& words);
std::vector<StyleShare> parse_style_words(const std::string& words);  // of words without a problem

// Why these shares are no mixture of these styles; empty: they are one. No shares at all are one, too.
std::string mixture_problem(const std::vector<StyleShare>& shares, const std::vector<Style>& styles);

// A share for each style, in their order. Without shares all styles have equal ones; without styles it is empty.
std::vector<double> mixture_of(const std::vector<StyleShare>& shares, const std::vector<Style>& styles);

// "bach 0.7, satie 0.3", without styles of no share.
std::string mixture_text(const std::vector<double>& mixture, const std::vector<Style>& styles);

// "style: bach 0.7, satie 0.3", and where nobody chose it why it is so; empty without styles. option: how it is chosen,
// "--style".
std::string mixture_line(const std::vector<StyleShare>& shares, const std::vector<Style>& styles, const char* option);

std::string style_names(const std::vector<Style>& styles);  // "bach, satie"

}  // namespace poph
