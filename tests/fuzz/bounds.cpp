#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <new>

#include "data/music/chords.h"
#include "data/music/notes.h"
#include "data/music/roll.h"
#include "experiments/config/config.h"
#include "experiments/play/request.h"
#include "experiments/sweep/sweep.h"
#include "nn/safetensors.h"
#include "tensor/device.h"
#include "tests/support/folder.h"
#include "tests/support/midi_bytes.h"

// The most memory and time that readers take for the worst files that could be thought of, beside what their headers
// promise. Memory is counted where it is asked for; what tensors hold is added. Time is the processor's, not the
// clock's.
namespace {

size_t in_use = 0, peak = 0;

void* counted(void* block) {
  if (!block) throw std::bad_alloc();
  in_use += malloc_usable_size(block);
  peak = std::max(peak, in_use);
  return block;
}

void release(void* block) {
  in_use -= malloc_usable_size(block);
  std::free(block);
}

}  // namespace

void* operator new(size_t bytes) { return counted(std::malloc(bytes)); }
void* operator new(size_t bytes, std::align_val_t to) {
  return counted(std::aligned_alloc(static_cast<size_t>(to), (bytes + static_cast<size_t>(to) - 1) /
                                                                 static_cast<size_t>(to) * static_cast<size_t>(to)));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept try {
  return counted(std::malloc(bytes));
} catch (...) {
  return nullptr;
}
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { release(block); }

namespace poph::test {
namespace {

// As the readers' headers have it: free bytes and seconds, and more for each byte of the file.
struct Bound {
  double free_bytes, bytes_per_byte, free_seconds, seconds_per_byte;
};

#if POPH_ASAN
constexpr double slower = 12;  // its memmem looks at every byte behind each of 500,000 tracks
#else
constexpr double slower = 1;
#endif

int failures = 0;

void measure(const char* name, size_t size, const Bound& bound, const std::function<void()>& read) {
  reset_peak(Device::cpu);
  const size_t before = in_use, tensors_before = memory_use(Device::cpu).in_use;
  peak = in_use;
  const std::clock_t begin = std::clock();
  std::string outcome = "read";
  try {
    read();
  } catch (const Error& error) {
    outcome = error.what();
  }
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  const double bytes = static_cast<double>(peak - before + memory_use(Device::cpu).peak - tensors_before),
               n = static_cast<double>(size);
  const double max_bytes = bound.free_bytes + bound.bytes_per_byte * n,
               max_seconds = slower * (bound.free_seconds + bound.seconds_per_byte * n);
  const bool within = bytes <= max_bytes && seconds <= max_seconds;
  failures += !within;
  std::printf("%s%-56s %9zu %13.0f of %13.0f bytes %8.3f of %8.3f s  %.70s\n", within ? "" : "BROKEN: ", name, size,
              bytes, max_bytes, seconds, max_seconds, outcome.c_str());
}

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

Bytes repeated(const Bytes& what, int64_t times) {
  Bytes all;
  all.reserve(what.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) append(all, what);
  return all;
}

std::string many(const std::string& what, int64_t times) {
  std::string all;
  for (int64_t i = 0; i < times; ++i) all += what;
  return all;
}

// data/music/midi.h and data/music/roll.h
void midi(const char* name, const Bytes& file,
          const RollSettings& settings = {.lowest_note = 0, .notes = 128, .sustain = true}) {
  measure(name, file.size(), {16384, 16, 0.05, 5e-7}, [&] { parse_midi(file); });
  const auto n = static_cast<double>(file.size());
  const double most = std::min(16e6 + 5000 * n, 450e6 + 40 * n) - 40 * n;  // the smaller of two bounds
  measure("  and to a roll", file.size(), {most, 40, std::min(0.2 + 5e-5 * n, 10.0), 1e-6},
          [&] { decode(parse_midi(file), settings); });
}

void midi_files() {
  const Bytes longest = {0xFF, 0xFF, 0xFF, 0x7F}, on = {0, 0x90, 60, 64}, off = {60, 0};
  midi("midi: one note of 2^28 ticks", one_track(on + longest + off, 1));
  midi("midi: one note of all the steps it may have", one_track(on + Bytes{0x83, 0xFF, 0x7F} + off, 4));
  Bytes held;
  for (int pitch = 0; pitch < 128; ++pitch) append(held, {0, 0x90, uint8_t(pitch), 64});
  midi("midi: all notes held", one_track(held + Bytes{0xCF, 0x00, 0xFF, 0x2F, 0}, 4));
  midi("midi: all notes held for long, and 2^14 events",
       one_track(repeated({0, 0x90, 60, 0}, 16384) + held + Bytes{0xBF, 0xFF, 0x00, 0xFF, 0x2F, 0}, 4));
  midi("midi: all notes held as long as can be",
       one_track(Bytes{0, 0x90, 60, 0} + repeated({0, 60, 0}, 262144) + held + Bytes{0xBF, 0xFF, 0x7F, 0xFF, 0x2F, 0},
                 4));
  midi("midi: 2^28 ticks a million times", one_track(repeated(longest + Bytes{0xFF, 1, 0}, 1000000)));
  midi("midi: 65,535 tracks", header(1, 65535, 4) + repeated(chunk("MTrk", end_of_track), 65535));
  midi("midi: 65,535 tracks of a note each",
       header(1, 65535, 4) + repeated(chunk("MTrk", on + Bytes{1, 60, 0} + end_of_track), 65535));
  midi("midi: 65,535 tracks without status", header(1, 65535, 4) + repeated(chunk("MTrk", {0, 60, 64}), 65535));
  midi("midi: 500,000 empty tracks", header(1, 1, 4) + repeated(chunk("MTrk", {}), 500000));
  midi("midi: 500,000 tracks that claim 2^32 bytes",
       header(1, 1, 4) + repeated({'M', 'T', 'r', 'k', 0xFF, 0xFF, 0xFF, 0xFF}, 500000));
  midi("midi: 400,000 tracks that claim a byte too much",
       header(1, 1, 4) + repeated({'M', 'T', 'r', 'k', 0, 0, 0, 4, 0, 0x90, 60}, 400000));
  midi("midi: 500,000 unknown chunks", header(1, 1, 4) + repeated(chunk("XFIH", {}), 500000) + chunk("MTrk", on));
  midi("midi: junk between chunks", header(1, 1, 4) + repeated({'M', 'T', 'r', 'x'}, 1000000) + chunk("MTrk", on));
  midi("midi: note flood at one tick", one_track(Bytes{0, 0x90, 60, 64} + repeated({0, 60, 64}, 1400000)));
  midi("midi: note flood over all pitches and times", [&] {
    Bytes flood = {0, 0x90, 60, 64};
    for (int i = 0; i < 1400000; ++i) append(flood, {uint8_t(i % 3 == 0), uint8_t(i * 7 % 128), uint8_t(i % 128)});
    return one_track(flood);
  }());
  midi("midi: pedal flood", one_track(Bytes{0, 0xB0, 64, 127} + repeated({0, 64, 0, 0, 64, 127}, 700000)));
  midi(
      "midi: tempo flood in SMPTE time",
      one_track(repeated({1, 0xFF, 0x51, 3, 0, 0, 1}, 300000) + repeated({0, 0x90, 60, 64, 1, 60, 0}, 300000), 0xE728));
  midi("midi: system exclusive that lies", one_track(repeated({0, 0xF0, 0xFF, 0xFF, 0xFF, 0x7F}, 1)));
  midi("midi: not at all", repeated({'M', 'T', 'h', 'x'}, 1000000));
}

void chords(const char* name, const std::string& text) {
  const Bytes bytes(text.begin(), text.end());
  measure(name, text.size(), {16384, 150, 0.05, 1e-6}, [&] { parse_chords(bytes, {.lowest_note = 0, .notes = 128}); });
}

// experiments/play/request.h
void requests() {
  const auto request = [](const char* name, const std::string& text) {
    measure(name, text.size(), {3 << 20, 60, 0.05, 1e-6}, [&] { drawn_roll(parse_play_request(text), 0, 128); });
  };
  request("play: empty notes", "{\"notes\":[[]" + many(std::string(",[]"), 340000) + "]}");
  request("play: one note of half a million numbers", "{\"notes\":[[1" + many(std::string(",1"), 500000) + "]]}");
  request("play: as many notes as may be",
          "{\"notes\":[[0,0,8192,1]" + many(std::string(",[0,0,8192,1]"), 16383) + "]}");
  request("play: as much sound as may be", "{\"notes\":[[0,0,8192,1]" + many(std::string(",[0,0,8192,1]"), 127) + "]}");
  request("play: a key of a million letters", "{\"" + std::string(1000000, 'a') + "\":[]}");
  request("play: a text of half a million escapes", "{\"scale\":\"" + many(std::string("\\n"), 500000) + "\"}");
  request("play: nested a million deep", std::string(1000000, '['));
  request("play: nested a hundred thousand deep in objects", many(std::string("{\"notes\":"), 100000));
  request("play: too large", std::string(2000000, ' '));
}

// data/music/chords.h
void chord_files() {
  chords("chords: empty pieces", "{\"train\":[[]" + many(std::string(",[]"), 600000) + "]}");
  chords("chords: empty steps", "{\"train\":[[[]" + many(std::string(",[]"), 600000) + "]]}");
  chords("chords: more steps than a piece may have", "{\"train\":[[[]" + many(std::string(",[]"), 1 << 20) + "]]}");
  chords("chords: steps of all notes", "{\"train\":[[[1]" + many(std::string(",[1,2,3,4,5,6,7,8,9]"), 100000) + "]]}");
  chords("chords: one note a million times", "{\"train\":[[[1" + many(std::string(",1"), 1000000) + "]]]}");
  chords("chords: a number of a million digits", "{\"train\":[[[" + std::string(1000000, '1') + "]]]}");
  chords("chords: a key of a million control characters", "{\"" + std::string(1000000, '\1') + "\":[]}");
  chords("chords: a key of a million letters", "{\"" + std::string(1000000, 'a') + "\":[]}");
  chords("chords: nested a million deep", std::string(1000000, '['));
  chords("chords: nested a million deep in objects", many(std::string("{\"train\":"), 300000));
  chords("chords: keys twice", "{\"train\":[]" + many(std::string(",\"train\":[]"), 100000) + "}");
}

std::string with_length(const std::string& json, const std::string& data = "", uint64_t length = 0) {
  if (length == 0) length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + data;
}

void safetensors(const Folder& folder, const char* name, const std::string& bytes) {
  write_plainly(folder / "x", bytes);
  measure(name, bytes.size(), {65536, 40, 0.05, 3e-6}, [&] { read_safetensors(folder / "x"); });
}

// nn/safetensors.h
void safetensors_files(const Folder& folder) {
  const auto entries = [](int count, const std::string& shape, int bytes) {
    std::string json = "{";
    for (int i = 0; i < count; ++i)
      json += joined(i ? "," : "", "\"", i, "\":{\"dtype\":\"F32\",\"shape\":", shape, ",\"data_offsets\":[", i * bytes,
                     ",", (i + 1) * bytes, "]}");
    return with_length(json + "}", std::string(static_cast<size_t>(count * bytes), 'x'));
  };
  safetensors(folder, "safetensors: a header of 2^63 bytes", with_length("{}", "", uint64_t{1} << 63));
  safetensors(folder, "safetensors: a header of 100,000,000 bytes", with_length("{}", "", 100'000'000));
  safetensors(folder, "safetensors: 30,000 empty tensors", entries(30000, "[0]", 0));
  safetensors(folder, "safetensors: 30,000 tensors of one number", entries(30000, "[1]", 4));
  safetensors(folder, "safetensors: 30,000 tensors that overlap", [&] {
    std::string json = "{";
    for (int i = 0; i < 30000; ++i)
      json += joined(i ? "," : "", "\"", i, "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}");
    return with_length(json + "}", "xxxx");
  }());
  safetensors(
      folder, "safetensors: offsets beyond the file",
      with_length("{\"a\":{\"dtype\":\"F64\",\"shape\":[1125899906842624],\"data_offsets\":[0,9007199254740992]}}",
                  "x"));
  safetensors(
      folder, "safetensors: shapes of 2^53 by 2^53 by 0",
      with_length(
          "{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992,0],\"data_offsets\":[0,0]}}"));
  std::string metadata = "{\"__metadata__\":{\"\":\"\"";
  for (int i = 0; i < 200000; ++i) metadata += joined(",\"", i, "\":\"\"");
  safetensors(folder, "safetensors: 200,000 keys of metadata", with_length(metadata + "}}"));
  safetensors(folder, "safetensors: one key twice",
              with_length("{\"a\":{}" + many(std::string(",\"a\":{}"), 100000) + "}"));
  safetensors(folder, "safetensors: nested a million deep", with_length("{\"a\":" + std::string(1000000, '[')));
  safetensors(folder, "safetensors: a number of a million digits",
              with_length("{\"a\":{\"shape\":[" + std::string(1000000, '1') + "]}}"));
  safetensors(folder, "safetensors: a name of a million letters",
              with_length("{\"" + std::string(1000000, 'a') + "\":1}"));
  safetensors(folder, "safetensors: 16 MB of numbers", entries(1, "[4194304]", 1 << 24));
}

void experiment(const Folder& folder, const char* name, const std::string& text) {
  write_plainly(folder / "x.toml", text);
  measure(name, text.size(), {4e6, 500, 0.2, 1e-5}, [&] { load_config(folder / "x.toml"); });
}

void sweep(const Folder& folder, const char* name, const std::string& text) {
  write_plainly(folder / "x.toml", text);
  measure(name, text.size(), {4e8, 500, 20, 1e-5}, [&] { load_sweep(folder / "x.toml", {}, ""); });
}

void ten_thousand_runs(const Folder& folder, const std::string& blocks) {
  const std::string same = "[1" + many(std::string(",1"), 9999) + "]\n";
  sweep(folder, "sweep: 10,000 runs that are one", blocks + "[sweep.axes]\ndata.window = " + same);
  sweep(folder, "sweep: a draw from 10^12 runs that are one",
        blocks + "[sweep]\nmode = \"random\"\nruns = 2\n[sweep.axes]\ndata.window = " + same + "data.stride = " + same +
            "train.batch = " + same);
  sweep(
      folder, "sweep: 10,000 runs of a long experiment",
      blocks + "data.source = [\"a\"" + many(std::string(",\"a\""), 20000) + "]\n[sweep.axes]\ndata.window = [1" +
          [] {
            std::string more;
            for (int i = 2; i <= 10000; ++i) more += joined(",", i);
            return more;
          }() +
          "]\n");
  sweep(
      folder, "sweep: 10,000 runs", blocks + "[sweep.axes]\ndata.window = [1" + [] {
        std::string more;
        for (int i = 2; i <= 10000; ++i) more += joined(",", i);
        return more;
      }() + "]\nloss.harmony.span = [1]\n");
}

// experiments/config/config.h and experiments/sweep/sweep.h
void experiment_files(const Folder& folder) {
  const std::string blocks = "model.blocks = [{ kind = \"lstm_time\" }]\n";
  experiment(folder, "experiment: a list of 300,000 numbers",
             "data.source = [1" + many(std::string(",1"), 300000) + "]\n");
  experiment(folder, "experiment: a list of 150,000 files",
             blocks + "data.source = [\"a\"" + many(std::string(",\"a\""), 150000) + "]\n");
  experiment(folder, "experiment: 20,000 blocks",
             "model.blocks = [" + many(std::string("{kind=\"lstm_time\"},"), 20000) + "]\n");
  experiment(folder, "experiment: 1,000 blocks",
             "model.blocks = [" + many(std::string("{kind=\"lstm_time\"},"), 1000) + "]\n");
  std::string keys;
  for (int i = 0; i < 50000; ++i) keys += joined("k", i, "=1\n");
  experiment(folder, "experiment: 50,000 unknown keys", keys);
  experiment(
      folder, "experiment: 50,000 unknown keys of a block", "model.blocks = [{ kind = \"lstm_time\"" + [] {
        std::string more;
        for (int i = 0; i < 50000; ++i) more += joined(",k", i, "=1");
        return more;
      }() + " }]\n");
  experiment(folder, "experiment: nested a million deep", "x = " + std::string(1000000, '['));
  experiment(folder, "experiment: tables nested a million deep", "x = " + many(std::string("{a="), 300000));
  experiment(folder, "experiment: 100,000 dots in a key", "a" + many(std::string(".a"), 100000) + " = 1\n");
  experiment(folder, "experiment: 12,000 headers of 32 dots", [] {
    std::string headers;
    for (int i = 0; i < 12000; ++i) headers += joined("[k", i, many(std::string(".a"), 32), "]\n");
    return headers;
  }());
  experiment(folder, "experiment: 60,000 tables of a list", many(std::string("[[a.b.c]]\n"), 60000));
  experiment(folder, "experiment: a number of a million digits", "seed = " + std::string(1000000, '1'));
  experiment(folder, "experiment: a string of a million letters",
             "name = \"" + std::string(1000000, 'a') + "\"\n" + blocks);
  experiment(folder, "experiment: a string of a million control characters",
             "name = \"" + many(std::string("\\u0001"), 170000) + "\"\n" + blocks);
  experiment(folder, "experiment: 2 MB", std::string(2000000, '\n'));

  sweep(
      folder, "sweep: 10^12 runs", blocks + "[sweep.axes]\n" + [] {
        std::string axes;
        for (const char* key :
             {"data.window", "data.stride", "model.octave_units", "train.batch", "train.epochs", "train.patience"})
          axes += joined(key, " = [1", many(std::string(",1"), 99), "]\n");
        return axes;
      }());
  if (!POPH_ASAN) ten_thousand_runs(folder, blocks);  // a minute there, and sweeps of other sizes follow
  sweep(folder, "sweep: 20,000 grids", blocks + many(std::string("[[sweep.axes]]\ntrain.batch = [1]\n"), 20000));
  sweep(folder, "sweep: 9,000 grids", blocks + many(std::string("[[sweep.axes]]\ntrain.batch = [1]\n"), 9000));
  sweep(
      folder, "sweep: 20,000 axes", blocks + "[sweep.axes]\n" + [] {
        std::string axes;
        for (int i = 0; i < 20000; ++i) axes += joined("\"model.blocks[0].k", i, "\" = [1]\n");
        return axes;
      }());
  for (int i = 0; i < 150; ++i)
    write_plainly(folder / joined(i, ".toml"), joined("extends = \"", i + 1, ".toml\"\n", std::string(10000, '\n')));
  experiment(folder, "experiment: 150 files, one extending the next", "extends = \"0.toml\"\n");
  experiment(folder, "experiment: extends itself", "extends = \"x.toml\"\n");
  experiment(folder, "experiment: extends a device", "extends = \"/dev/zero\"\n");
}

}  // namespace
}  // namespace poph::test

int main() {
  using namespace poph::test;
  const Folder folder;
  midi_files();
  chord_files();
  requests();
  safetensors_files(folder);
  experiment_files(folder);
  if (failures) std::printf("%d bounds broken\n", failures);
  return failures > 0;
}
