#include "experiments/sweep/runner.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "data/files/stopwatch.h"
#include "experiments/report/report.h"
#include "experiments/sweep/adopt.h"
#include "experiments/sweep/child.h"
#include "experiments/sweep/estimate.h"
#include "experiments/sweep/folder.h"
#include "experiments/workspace/run_folder.h"
#include "experiments/workspace/signals.h"
#include "tensor/device.h"

namespace poph {
namespace {

// Exit codes of a run in a process of its own, beside 0, 1 and exit_resumable.
constexpr int exit_in_use = 100, exit_diverged = 101;

std::string title(const SweepRun& run) {
  return fmt::format("{}, seed {}{}", run.label, run.config.seed,
                     run.config.model.autoregressive() ? "" : " [autoregressive = false]");
}

int run_one(const SweepRun& run, RunOptions options, const std::string& out, int64_t index) {
  options.out = out;
  options.command_line += fmt::format(" --index {}", index);
  return run_experiment(run.config, options);
}

// The work of a child: the errors of which more than the text must be known are codes.
int supervised_run(const SweepRun& run, const RunOptions& options, const std::string& out, int64_t index) {
  try {
    return run_one(run, options, out, index);
  } catch (const RunFolder::InUse&) {
    return exit_in_use;
  } catch (const DivergedError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return exit_diverged;
  }
}

// All runs that are not finished, some at once.
class Runner {
 public:
  Runner(const Sweep& sweep, const SweepOptions& options, SweepFolder& folder, Progress& progress)
      : sweep_(sweep), options_(options), folder_(folder), progress_(progress), slots_(options.jobs), left_(sweep) {
    options_.run.supervised = true;
    for (size_t r = 0; r < sweep.runs.size(); ++r) pending_.push_back(r);
    for (const size_t r : pending_)  // the runs of earlier sessions tell how long the rest will take
      if (const RunState state = folder.state(sweep.runs[r]); state.finished()) left_.measured(r, state.seconds);
  }

  int run() {
    say_begin();
    for (;;) {
      if (stop_requested())
        stop_all();
      else
        fill_slots();
      const auto running = children();
      if (running.empty() && (stop_requested() || pending_.empty())) break;
      if (running.empty())
        std::this_thread::sleep_for(std::chrono::milliseconds(100));  // other processes have the rest
      Child::wait(running, 200);
      for (Slot& slot : slots_)
        if (slot.child && slot.child->ended()) end(slot);
      progress_.live(live_text());
    }
    return say_end();
  }

 private:
  struct Slot {
    std::unique_ptr<Child> child;
    size_t run = 0;
    Stopwatch watch;
    bool asked_to_stop = false;
  };

  std::vector<Child*> children() const {
    std::vector<Child*> list;
    for (const Slot& slot : slots_)
      if (slot.child) list.push_back(slot.child.get());
    return list;
  }

  void stop_all() {
    for (Slot& slot : slots_) {
      if (!slot.child || slot.asked_to_stop) continue;
      slot.asked_to_stop = true;
      slot.child->ask_to_stop();
    }
  }

  void fill_slots() {
    for (size_t s = 0; s < slots_.size(); ++s)
      while (!slots_[s].child && begin_next(s)) {
      }
  }

  // Starts the first pending run that no other process works on. False: there is none now.
  bool begin_next(size_t s) {
    if (since_look_ && since_look_->seconds() < 1) return false;
    for (auto place = pending_.begin(); place != pending_.end();) {
      const SweepRun& run = sweep_.runs[*place];
      const RunState state = folder_.state(run);
      if (state.running()) {  // in another process: looked at again later
        passed_over_.insert(*place);
        ++place;
        continue;
      }
      const size_t index = *place;
      place = pending_.erase(place);
      if (state.finished() || (state.broken() && !options_.retry_failed)) {
        if (passed_over_.count(index))
          progress_.line(
              fmt::format("{} {} by another process: {}", tag(index), status_name(state.status), title(run)));
        continue;
      }
      begin(s, index);
      return true;
    }
    if (!pending_.empty()) look();
    since_look_.emplace();
    return false;
  }

  void begin(size_t s, size_t index) {
    const SweepRun& run = sweep_.runs[index];
    folder_.note_start(run);
    RunOptions options = options_.run;
    options.threads = threads_of(s);
    const std::string& out = folder_.path();
    slots_[s].child = std::make_unique<Child>([&run, options, out, index](const Child::Send& send) mutable {
      options.watch = send;
      return supervised_run(run, options, out, static_cast<int64_t>(index));
    });
    slots_[s].run = index;
    slots_[s].watch.restart();
    slots_[s].asked_to_stop = false;
    folder_.write_index();
    progress_.line(fmt::format("{} begins: {}: {}", tag(index), title(run), folder_.run_folder(run)));
  }

  // An equal share of the threads; the first slots get one more each where there is a rest.
  int threads_of(size_t s) const {
    const int all = options_.run.threads, jobs = options_.jobs;
    return std::max(1, all / jobs + (static_cast<int>(s) < all % jobs));
  }

  void end(Slot& slot) {
    const SweepRun& run = sweep_.runs[slot.run];
    const int code = slot.child->exit_code();
    const double seconds = slot.watch.seconds();
    // the signal came before the run had anything to save
    const bool signalled = code == -SIGTERM || code == -SIGINT || code == -SIGUSR1 || code == -SIGHUP;
    std::string what;
    folder_.note_end(run);
    if (code == exit_in_use) {
      pending_.push_back(slot.run);
      what = "left to another process";
    } else if (code == exit_resumable || signalled) {
      interrupted_ = true;
      what = "interrupted";
    } else if (code != 0) {
      folder_.note_failure(run, code == exit_diverged ? RunStatus::diverged : RunStatus::failed, slot.child->error());
      what = "failed";
    } else {
      left_.measured(slot.run, seconds);
      const RunState state = folder_.state(run);
      what = fmt::format("finished in {}{}", human_time(seconds),
                         state.best_loss ? fmt::format(", best loss {:.4f}", *state.best_loss) : "");
    }
    const std::string error = what == "failed" ? ": " + slot.child->error() : "";
    slot.child.reset();
    folder_.write_index();
    look();
    progress_.line(fmt::format("{} {}: {}{}; {}", tag(slot.run), what, title(run), error, counts()));
  }

  std::string tag(size_t index) const { return fmt::format("[{}]", index); }

  // Counts the runs that are finished or broken, also those of other processes.
  void look() {
    finished_ = broken_ = 0;
    for (const SweepRun& run : sweep_.runs) {
      const RunState state = folder_.state(run);
      finished_ += state.finished();
      broken_ += state.broken();
    }
  }

  // "3 of 24 finished, 1 failed, about 2 min left"
  std::string counts() const {
    std::vector<TimeLeft::Running> running;
    for (const Slot& slot : slots_)
      if (slot.child) running.push_back({slot.run, slot.watch.seconds()});
    const auto seconds = left_.seconds({pending_.begin(), pending_.end()}, running, options_.jobs);
    std::string text = fmt::format("{} of {} finished", finished_, sweep_.runs.size());
    if (broken_) text += fmt::format(", {} failed", broken_);
    if (seconds && !stop_requested() && pending_.size() + running.size() > 0)
      text += fmt::format(", about {} left", human_time(*seconds));
    return text;
  }

  std::string live_text() {
    std::string text;
    for (const Slot& slot : slots_) {
      if (!slot.child) continue;
      text += fmt::format("{}[{}] {} {}", text.empty() ? "" : " | ", slot.run, slot.child->message(),
                          human_time(slot.watch.seconds()));
    }
    if (text.empty()) text = fmt::format("waiting for {} runs of other processes", pending_.size());
    return text + "; " + counts();
  }

  void say_begin() {
    look();
    const int all = options_.run.threads, jobs = options_.jobs;
    const auto some = [](int count) { return fmt::format("{} thread{}", count, count == 1 ? "" : "s"); };
    std::string share = jobs == 1 ? some(all) : some(std::max(1, all / jobs)) + " each";
    if (all < jobs)
      share += ", more than there are";
    else if (all % jobs)
      share = fmt::format("{} or {} threads each", all / jobs, all / jobs + 1);
    progress_.line(fmt::format("sweep {}: {} in {}; {} at once, {}; {}", sweep_.name, sweep_size(sweep_),
                               folder_.path(), jobs, share, counts()));
  }

  int say_end() {
    folder_.write_index();
    look();
    std::vector<std::string> broken;
    for (size_t r = 0; r < sweep_.runs.size(); ++r) {
      const RunState state = folder_.state(sweep_.runs[r]);
      if (!state.broken()) continue;
      broken.push_back(fmt::format("{} {}: {}", tag(r), title(sweep_.runs[r]), state.error));
      progress_.line(
          fmt::format("{} {}: {}: {}", tag(r), status_name(state.status), title(sweep_.runs[r]), state.error));
    }
    if (stop_requested() || interrupted_) {
      progress_.line(fmt::format("interrupted: {}. The same command resumes it.", counts()));
      return exit_resumable;
    }
    if (broken.size() < sweep_.runs.size()) try_report(folder_.path(), progress_);
    if (!broken.empty())
      fail(folder_.path(), ": ", broken.size(), " of ", sweep_.runs.size(),
           " runs failed; --retry-failed tries them again; the first: ", broken[0]);
    progress_.line(fmt::format("all {} runs are finished: {}", sweep_.runs.size(), folder_.path()));
    return 0;
  }

  const Sweep& sweep_;
  SweepOptions options_;
  SweepFolder& folder_;
  Progress& progress_;
  std::vector<Slot> slots_;
  std::deque<size_t> pending_;
  std::set<size_t> passed_over_;
  size_t finished_ = 0, broken_ = 0;
  std::optional<Stopwatch> since_look_;  // since the last time that there was no run to begin
  bool interrupted_ = false;
  TimeLeft left_;
};

int run_index(const Sweep& sweep, const SweepOptions& options, SweepFolder& folder, Progress& progress) {
  const SweepRun& run = sweep.runs[static_cast<size_t>(options.index)];
  progress.line(fmt::format("run {} of {} (0 .. {}) of the sweep {}: {}", options.index, sweep.runs.size(),
                            sweep.runs.size() - 1, sweep.name, title(run)));
  const RunState before = folder.state(run);
  if (before.broken() && !options.retry_failed && !options.run.restart)
    fail(folder.run_folder(run), ": ", status_name(before.status), " before: ", before.error,
         "; --retry-failed tries it again");
  folder.write_index();
  try {
    const int code = run_one(run, options.run, folder.path(), options.index);
    folder.write_index();
    return code;
  } catch (const RunFolder::InUse&) {
    throw;
  } catch (const std::exception& error) {
    const bool diverged = dynamic_cast<const DivergedError*>(&error),
               memory = dynamic_cast<const std::bad_alloc*>(&error);
    folder.note_failure(run, diverged ? RunStatus::diverged : RunStatus::failed,
                        memory ? "out of memory" : error.what());
    folder.write_index();
    throw;
  }
}

}  // namespace

int run_sweep(Sweep sweep, SweepOptions options) {
  if (options.run.threads == 0) options.run.threads = threads();
  const std::string path = (std::filesystem::path(options.run.out) / sweep.name).string();
  const auto count = static_cast<int64_t>(sweep.runs.size());
  require(options.index < count, "--index ", options.index, ": this sweep has ", count, " runs, counted from 0");
  if (options.list || options.run.dry_run) adopt_folders(sweep, path);
  if (options.list) {
    std::string text;
    for (const SweepRun& run : sweep.runs) text += run.id + "\n";
    print_text(text);
    return 0;
  }
  Progress progress(options.run.quiet);
  if (options.run.dry_run && options.index >= 0)
    return run_one(sweep.runs[static_cast<size_t>(options.index)], options.run, path, options.index);
  if (options.run.dry_run) {
    say_sweep_estimate(sweep, options, path, progress);
    return 0;
  }
  require(!options.run.smoke || options.index >= 0, "--smoke: tries one run of a sweep: --index says which");
  if (options.run.restart && options.index < 0 && std::filesystem::exists(path)) {
    SweepFolder::refuse_use(path);
    progress.line("the old sweep is now " + move_aside(path));
  }
  // The sweep was moved as a whole; a run that another process has started since must not be restarted.
  if (options.index < 0) options.run.restart = false;
  watch_signals();
  SweepFolder folder(path, sweep);
  if (options.index >= 0) return run_index(sweep, options, folder, progress);
  progress.log_to(path + "/log.txt");
  return Runner(sweep, options, folder, progress).run();
}

}  // namespace poph
