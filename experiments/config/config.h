#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config/settings.h"

// Experiments read and printed. The way in: toml.h makes a tree of a text (toml_guard.h looks through it first),
// values.h one value for each key of files and overrides, keys.h has the list of keys and their limits, and make_config
// fills the Config with them. print.cpp is the way out.
namespace poph {

struct Value;

// Reads an experiment file, the files it extends, then the overrides: "train.epochs=5", where the value is TOML and a
// bare word is a string. Relative paths in a file are relative to that file, those of an override to the working
// folder. Throws one line that names the file and line, or the override, of the first mistake. A file may name any
// regular file: it is its user's own. Its size is not trusted: files have at most 1 MB, a chain at most 100 of them; it
// takes at most 500 bytes of memory for each byte of them and 4 MB, 10 us of a core for each and 0.2 s.
Config load_config(const std::string& file, const std::vector<std::string>& overrides = {},
                   const std::string& bundled_corpus = "");

// The same for text that stands alone: the experiment inside a checkpoint. Keys it lacks have their defaults, `extends`
// is refused, relative paths stay as they are. `origin` names the text in messages and, where name is not set, the
// experiment.
Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides = {},
                    const std::string& bundled_corpus = "");

// The same for what an earlier version of PopH may have written: a key that it lacks has the meaning of that time.
Config load_saved_config(const std::string& file, const std::string& bundled_corpus = "");
Config parse_saved_config(std::string_view text, const std::string& origin,
                          const std::vector<std::string>& overrides = {}, const std::string& bundled_corpus = "");

// The experiment with these values (values.h), each checked by itself and with the others; `name` is used where none is
// set.
Config make_config(const std::map<std::string, Value>& values, const std::string& origin, const std::string& name,
                   const std::string& bundled_corpus);

// Every key in the order of MODEL.md "Keys", as TOML. Reading it back gives the same values, to the last bit. In a file
// in `folder`, paths that were written as relative ones are relative to it; without one they are absolute.
std::string to_toml(const Config& config, const std::string& folder = "");

// The experiment with each path as it was written: what tells experiments apart wherever their folders lie.
Config as_written(Config config);

// The same with a comment on each line: the file and line that set it, "command line" or "default".
std::string describe_config(const Config& config);

// "train.batch: was 8, now 16" for each key whose values differ, in the order of MODEL.md "Keys"; keys that `ignored`
// accepts are left out. The name is no setting.
using KeyFilter = std::function<bool(std::string_view key)>;
std::vector<std::string> differing_keys(const Config& was, const Config& now, const KeyFilter& ignored = {});

// The keys that a resumed run may change: more epochs and more patience where the learning rate's schedule does not
// depend on them, event files or none, and how samples are generated.
KeyFilter may_change_on_resume(const Config& was, const Config& now);

}  // namespace poph
