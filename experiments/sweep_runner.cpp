#include "experiments/sweep_runner.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <deque>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>

#include "experiments/child.h"
#include "experiments/report.h"
#include "experiments/run_folder.h"
#include "experiments/signals.h"
#include "experiments/sweep_estimate.h"
#include "experiments/sweep_folder.h"
#include "tensor/device.h"

namespace poph {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string title(const SweepRun& run) {
  return fmt::format("{}, seed {}{}", run.label, run.config.seed,
                     run.config.model.autoregressive() ? "" : " [autoregressive = false]");
}

int run_one(const SweepRun& run, RunOptions options, const std::string& out, int64_t index) {
  options.out = out;
  options.command_line += fmt::format(" --index {}", index);
  return run_experiment(run.config, options);
}

// All runs that are not finished, some at once.
class Runner {
 public:
  Runner(const Sweep& sweep, const SweepOptions& options, SweepFolder& folder, Progress& progress)
      : sweep_(sweep), options_(options), folder_(folder), progress_(progress), slots_(options.jobs), left_(sweep) {
    options_.run.supervised = true;
    for (size_t r = 0; r < sweep.runs.size(); ++r) pending_.push_back(r);
    for (const size_t r : pending_)  // what an earlier sitting finished tells how long the rest will take
      if (const RunState state = folder.state(sweep.runs[r]); state.status == "finished") left_.measured(r, state.seconds);
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
      if (running.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(100));  // others hold what is left
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
    double begun = 0;
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

  // Takes the first of the pending runs that is to be done and that nobody else is doing. False: there is none now.
  bool begin_next(size_t s) {
    if (now() < look_again_) return false;
    for (auto place = pending_.begin(); place != pending_.end();) {
      const SweepRun& run = sweep_.runs[*place];
      const RunState state = folder_.state(run);
      if (state.status == "running") {  // in another process: looked at again later
        passed_over_.insert(*place);
        ++place;
        continue;
      }
      const size_t index = *place;
      place = pending_.erase(place);
      if (state.status == "finished" || (state.broken() && !options_.retry_failed)) {
        if (passed_over_.count(index))
          progress_.line(fmt::format("{} {} by another process: {}", tag(index), state.status, title(run)));
        continue;
      }
      begin(s, index);
      return true;
    }
    if (!pending_.empty()) look();
    look_again_ = now() + 1;
    return false;
  }

  void begin(size_t s, size_t index) {
    const SweepRun& run = sweep_.runs[index];
    folder_.note_begin(run);
    RunOptions options = options_.run;
    options.threads = threads_of(s);
    const std::string& out = folder_.path();
    slots_[s].child =
        std::make_unique<Child>([&run, options, out, index] { return run_one(run, options, out, static_cast<int64_t>(index)); });
    slots_[s].run = index;
    slots_[s].begun = now();
    slots_[s].asked_to_stop = false;
    folder_.write_index();
    progress_.line(fmt::format("{} begins: {}: {}", tag(index), title(run), folder_.run_folder(run)));
  }

  // The threads of a place among the jobs: an equal share, and one more for the first ones where it does not come out even.
  int threads_of(size_t s) const {
    const int all = options_.run.threads, jobs = options_.jobs;
    return std::max(1, all / jobs + (static_cast<int>(s) < all % jobs));
  }

  void end(Slot& slot) {
    const SweepRun& run = sweep_.runs[slot.run];
    const int code = slot.child->exit_code();
    const double seconds = now() - slot.begun;
    const bool signalled = code == -SIGTERM || code == -SIGINT || code == -SIGUSR1 || code == -SIGHUP;  // before it could save anything new
    std::string what;
    folder_.note_end(run);
    if (code == Child::in_use) {
      pending_.push_back(slot.run);
      what = "is done by another process";
    } else if (code == exit_resumable || signalled) {
      interrupted_ = true;
      what = "stopped, to be gone on with";
    } else if (code != 0) {
      folder_.note_failure(run, slot.child->error());
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

  // Where all runs stand, those of other processes too.
  void look() {
    finished_ = broken_ = 0;
    for (const SweepRun& run : sweep_.runs) {
      const RunState state = folder_.state(run);
      finished_ += state.status == "finished";
      broken_ += state.broken();
    }
  }

  // "3 of 24 finished, 1 failed, about 2 min left"
  std::string counts() const {
    std::vector<TimeLeft::Running> running;
    for (const Slot& slot : slots_)
      if (slot.child) running.push_back({slot.run, now() - slot.begun});
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
      std::string line = slot.child->last_line();
      if (!line.starts_with("epoch") && !line.starts_with("composing")) line.clear();
      line = line.substr(0, std::min(line.find("  "), line.find(": ")));
      text += fmt::format("{}[{}] {} {}", text.empty() ? "" : " | ", slot.run, line, human_time(now() - slot.begun));
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
    progress_.line(fmt::format("sweep {}: {} in {}; {} at once, {}; {}", sweep_.name, sweep_size(sweep_), folder_.path(), jobs,
                               share, counts()));
  }

  int say_end() {
    folder_.write_index();
    look();
    std::vector<std::string> broken;
    for (size_t r = 0; r < sweep_.runs.size(); ++r) {
      const RunState state = folder_.state(sweep_.runs[r]);
      if (!state.broken()) continue;
      broken.push_back(fmt::format("{} {}: {}", tag(r), title(sweep_.runs[r]), state.error));
      progress_.line(fmt::format("{} {}: {}: {}", tag(r), state.status, title(sweep_.runs[r]), state.error));
    }
    if (stop_requested() || interrupted_) {
      progress_.line(fmt::format("stopped: {}. The same command goes on from here.", counts()));
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
  double look_again_ = 0;
  bool interrupted_ = false;
  TimeLeft left_;
};

int run_index(const Sweep& sweep, const SweepOptions& options, SweepFolder& folder, Progress& progress) {
  const SweepRun& run = sweep.runs[static_cast<size_t>(options.index)];
  progress.line(fmt::format("run {} of {} (0 .. {}) of the sweep {}: {}", options.index, sweep.runs.size(), sweep.runs.size() - 1,
                            sweep.name, title(run)));
  const RunState before = folder.state(run);
  if (before.broken() && !options.retry_failed && !options.run.restart)
    fail(folder.run_folder(run), ": ", before.status, " before: ", before.error, "; --retry-failed tries it again");
  folder.write_index();
  try {
    const int code = run_one(run, options.run, folder.path(), options.index);
    folder.write_index();
    return code;
  } catch (const RunFolder::InUse&) {
    throw;
  } catch (const std::exception& error) {
    folder.note_failure(run, dynamic_cast<const std::bad_alloc*>(&error) ? "out of memory" : error.what());
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
  if (options.index < 0) options.run.restart = false;  // a run of it that another process has begun meanwhile is none to begin anew
  watch_signals();
  SweepFolder folder(path, sweep);
  if (options.index >= 0) return run_index(sweep, options, folder, progress);
  progress.log_to(path + "/log.txt");
  return Runner(sweep, options, folder, progress).run();
}

}  // namespace poph
