#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "data/files/file.h"
#include "data/music/notes.h"
#include "data/windows.h"
#include "tests/bench/model_bench.h"

// From MIDI files to notes and to training windows, on one thread.
namespace poph {
namespace {

std::vector<std::string> midi_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".mid" || entry.path().extension() == ".midi")
      files.push_back(entry.path().string());
  require(!files.empty(), "bench midi: ", folder, " holds no MIDI files");
  std::sort(files.begin(), files.end());
  return files;
}

Corpus corpus_of(const std::string& folder) {
  CorpusSettings settings;
  settings.sources = {folder};
  settings.threads = 1;
  settings.held_out = 0;
  return load_corpus(settings);
}

class MidiBench {
 public:
  explicit MidiBench(const std::string& folder) : folder_(folder), files_(midi_files(folder)) {}

  uint64_t read() {  // the floor: every byte is looked at
    uint64_t sum = 0;
    for (const std::string& file : files_) {
      const auto bytes = read_file(file, buffer_);
      sum = std::accumulate(bytes.begin(), bytes.end(), sum);
    }
    return sum;
  }
  // As the peers give them: onset and duration in ticks, pitch, velocity, channel, by track.
  int64_t notes() {
    int64_t found = 0;
    for (const std::string& file : files_) {
      parse_midi(read_file(file, buffer_), midi_);
      pair_notes(midi_, RollSettings{.percussion = true}, notes_);
      found += static_cast<int64_t>(notes_.notes.size());
    }
    return found;
  }
  int64_t windows() { return Windows(corpus_of(folder_).train, window, stride, 4).count(); }
  int64_t batches() {  // every window once, as the numbers that a model reads
    constexpr int64_t size = 32;
    const Windows all(corpus_of(folder_).train, window, stride, 4);
    std::vector<int64_t> which(all.count());
    std::iota(which.begin(), which.end(), 0);
    for (size_t first = 0; first < which.size(); first += size)
      all.batch(std::span(which).subspan(first, std::min<size_t>(size, which.size() - first)), 3, Dtype::f32);
    return all.count();
  }
  int64_t bytes() const {
    return std::accumulate(files_.begin(), files_.end(), int64_t{0}, [](int64_t sum, const std::string& file) {
      return sum + static_cast<int64_t>(std::filesystem::file_size(file));
    });
  }
  size_t files() const { return files_.size(); }

 private:
  static constexpr int64_t window = 128, stride = 16;  // the original's

  std::string folder_;
  std::vector<std::string> files_;
  std::vector<uint8_t> buffer_;
  MidiFile midi_;
  NoteList notes_;
};

}  // namespace

void measure_midi(const std::string& folder) {
  MidiBench bench(folder);
  const std::map<std::string, std::function<int64_t()>> measurements{
      {"read", [&] { return static_cast<int64_t>(bench.read()); }},
      {"notes", [&] { return bench.notes(); }},
      {"windows", [&] { return bench.windows(); }},
      {"batches", [&] { return bench.batches(); }}};
  serve({{"who", "PopH"}, {"files", bench.files()}, {"bytes", bench.bytes()}}, [&](const std::string& request) {
    const auto measurement = measurements.find(request);
    require(measurement != measurements.end(), "bench midi: found request \"", request,
            "\", expected read, notes, windows or batches");
    DeviceStopwatch watch(Device::cpu);
    const int64_t found = measurement->second();
    Json answer = watch.lap();
    answer["found"] = found;
    answer["bytes"] = bench.bytes();
    return answer;
  });
}

// A folder to read from: each piece in many keys, and repeated until its file is about as long as asked for.
void make_midi_files(const std::string& from, const std::string& to, int64_t transpositions, int64_t bytes) {
  int64_t number = 0;
  for (const Piece& piece : corpus_of(from).train) {
    const int64_t notes = piece.roll->notes(), once = static_cast<int64_t>(encode(*piece.roll).size());
    for (int64_t k = 0; k < transpositions; ++k) {
      const int64_t up = k - transpositions / 2;
      Roll roll(piece.roll->lowest_note(), notes);
      std::vector<Cell> cells(notes), moved(notes);
      for (int64_t copy = 0; copy < std::max<int64_t>(1, bytes / once); ++copy)
        for (int64_t step = 0; step < piece.roll->steps(); ++step) {
          piece.roll->row(step, cells);
          for (int64_t note = 0; note < notes; ++note)
            moved[note] = note - up < 0 || note - up >= notes ? 0 : cells[note - up];
          roll.append(moved);
        }
      const std::vector<uint8_t> file = encode(roll);
      std::ofstream out(std::filesystem::path(to) / (std::to_string(number++) + ".mid"), std::ios::binary);
      out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
      require(out.good(), "bench midi: could not write to ", to);
    }
  }
}

}  // namespace poph
