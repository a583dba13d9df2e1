#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "experiments/compose/pieces.h"
#include "experiments/play/known_music.h"
#include "experiments/play/request.h"
#include "experiments/workspace/checkpoints.h"

// One model that composes for the page, one piece after the other, in a thread of its own. The same request gives the
// same notes as `poph generate`, whose words it has for it.
namespace poph {

// A piece that was asked for, and what is told of it: events of a stream (text/event-stream), each whole.
class Take {
 public:
  Take(int64_t number, PlayRequest request) : number(number), request(std::move(request)) {}

  const int64_t number;
  const PlayRequest request;

  void tell(const char* event, const std::string& json);
  void end();
  // The events so far, which are gone from here then; waits for one for a while. nullopt: there are no more.
  std::optional<std::string> listen(double seconds);

  void stop() { stopped_ = true; }  // keep what is there
  void leave() { left_ = true; }    // nobody listens any more
  bool stopped() const { return stopped_; }
  bool left() const { return left_; }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  std::string events_;
  bool ended_ = false;
  std::atomic<bool> stopped_ = false, left_ = false;
};

class Studio {
 public:
  static constexpr size_t max_waiting = 4;  // takes behind the one that is composed

  // threads: of the CPU kernels; 0: one per processor.
  Studio(OpenedModel model, std::string word, int threads = 0);
  ~Studio() { close(); }
  void close();  // what is composed ends after its step

  // Error: too many wait already.
  std::shared_ptr<Take> ask(PlayRequest request);
  bool stop(int64_t number);  // false: there is no such take any more

  std::string model_json() const;                               // what the page must know of the model
  std::string music_json(std::span<const uint8_t> midi) const;  // of a MIDI file; Error: nothing of it can be shown
  std::string piece_json(const std::string& name) const;
  std::vector<uint8_t> drawn_midi(const PlayRequest& request) const;

 private:
  void work(int threads);
  void compose_take(Take& take);
  void tell_copies(Take& take, const Roll& roll);

  const OpenedModel model_;
  const std::string word_, experiment_;  // the model's name as it was given; its experiment as text
  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::deque<std::shared_ptr<Take>> takes_;  // the first one is composed
  int64_t last_ = 0;
  bool ending_ = false;
  KnownMusic known_;
  std::thread worker_;
};

}  // namespace poph
