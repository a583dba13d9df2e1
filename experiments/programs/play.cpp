#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "experiments/play/server.h"
#include "experiments/programs/commands.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/signals.h"

extern char** environ;

namespace poph {
namespace {

// Where there is a desktop: the address is printed in any case.
void open_in_browser(const std::string& address) {
  std::string program = "xdg-open", url = address;
  char* words[] = {program.data(), url.data(), nullptr};
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  for (const int stream : {0, 1, 2}) posix_spawn_file_actions_addopen(&quiet, stream, "/dev/null", O_RDWR, 0);
  pid_t child = 0;
  if (posix_spawnp(&child, program.c_str(), &quiet, nullptr, words, environ) == 0)
    std::thread([child] { waitpid(child, nullptr, 0); }).detach();
  posix_spawn_file_actions_destroy(&quiet);
}

bool has_desktop() {
  const char *x = std::getenv("DISPLAY"), *wayland = std::getenv("WAYLAND_DISPLAY");
  return (x && *x) || (wayland && *wayland);
}

}  // namespace

void play(const PlayOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  watch_signals();
  refuse_idle(options.overrides, Use::generate);
  Studio studio(open_model(options.checkpoint, options.overrides, Dtype::f32, device), options.checkpoint,
                options.threads);
  const auto listening = [&] {
    if (options.port >= 0) return std::make_unique<PlayServer>(studio, options.port);
    try {
      return std::make_unique<PlayServer>(studio, usual_play_port);
    } catch (const Error&) {  // another page is open already
      return std::make_unique<PlayServer>(studio, 0);
    }
  };
  const std::unique_ptr<PlayServer> server = listening();
  print_text(joined("open ", server->address(), " in a browser of this machine; Ctrl-C ends it\n"));
  if (!options.no_browser && has_desktop()) open_in_browser(server->address());
  while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  studio.close();
  server->stop();
}

}  // namespace poph
