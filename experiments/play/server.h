#pragma once
#include <functional>
#include <memory>
#include <string>

#include "experiments/play/studio.h"

// The page's own server, for this machine alone (127.0.0.1), by cpp-httplib. Every address but one begins with a token
// that nobody else knows; a request must come for this host (Host) and from this page (Origin), so that neither another
// page in the same browser nor a name that leads here (DNS rebinding) can ask for anything.
//
// A connection is one request. Its head and body must be whole within some seconds and bytes; while many wait without a
// request, the oldest is closed. So strangers who connect and stall cost neither threads nor memory, and who works is
// served at once.
namespace poph {

inline constexpr int usual_play_port = 7674;    // P O P H on a telephone; the links of reports lead there
inline constexpr int play_threads = 32;         // that serve connections
inline constexpr int max_without_request = 16;  // connections that are being read
inline constexpr double max_request_seconds = 10;

class PlayServer {
 public:
  // Listens. port 0: any that is free. Error: the port is taken.
  PlayServer(Studio& studio, int port);
  ~PlayServer();

  std::string address() const;  // "http://127.0.0.1:7674/TOKEN/"
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace poph
