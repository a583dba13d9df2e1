#!/usr/bin/env python3
"""kill.py BUILD [--kills N] [--power N] [--seed S]: KILL at every kind of moment, and power failures; then the same command again.

Whatever happened, the finished run (or sweep) is bit for bit the one that was never disturbed: weights, training state, metrics, samples,
TensorBoard's curves. README.md has what each part shows and what was found.
"""
import argparse
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import power
from sessions import Session, check_finished, check_folder, check_same, epochs_said, finish, outcome, outcomes, require, saved_epoch, wait_until, workplace

LONGER = ("train.epochs=6", "train.patience=6", "generate.bars=8")  # for kills from outside: more to hit


def kind_of(call):
    """What a kill at this call hits."""
    name = Path(call.other or call.path).name
    for part in ("safetensors", "metrics", "events", "run.json", "config.toml", "piece_", "samples", "report", "log.txt", "lock"):
        if part in name:
            return "%s of %s" % (call.name, {"safetensors": "a checkpoint", "piece_": "samples"}.get(part, part))
    return "%s of a folder" % call.name


class Kills:
    def __init__(self, folder, generator):
        self.folder, self.random, self.hit, self.kills = folder, generator, Counter(), 0

    def again(self, out, words, name="x"):
        """The same command after a kill; what was finished is not done again."""
        run = self.folder / out / name
        check_folder(self.folder / out) if (self.folder / out).exists() else None
        before = saved_epoch(run)
        finished = (run / "run.json").exists() and json.loads((run / "run.json").read_text())["status"] == "finished"
        log = (run / "log.txt").read_bytes() if (run / "log.txt").exists() else b""
        session = finish(self.folder, out, words)
        if not finished:
            log = log[:log.rfind(b"\n") + 1]
            require((run / "log.txt").read_bytes().startswith(log + b"PopH "), "the log does not go on behind its last whole line")
        if finished:
            require("finished already" in session.out and not epochs_said(session.out), "a finished run was done again:", session.out)
        require(all(epoch > before for epoch in epochs_said(session.out)), "epochs were done again after epoch", before, ":", session.out)

    def at_calls(self, numbers, words, expected, torn):
        """A fresh run for each: killed at that call, or halfway through it where it writes."""
        for number in numbers:
            out = "at-%d" % number
            session = Session(self.folder, out, words, faults="%s@%d" % ("torn" if torn else "kill", number))
            require(session.code == -signal.SIGKILL, "it was to be killed at call", number, "but ended with", session.code)
            self.kills += 1
            self.again(out, words)
            self.compare(out, expected)

    def compare(self, out, expected, name="x"):
        check_finished(self.folder / out)
        require((self.folder / out / name / "report.html").exists(), "there is no report")
        check_same(outcome(self.folder / out / name), expected)
        shutil.rmtree(self.folder / out)

    def chain(self, calls, words, expected, out="chain"):
        """One run, killed again and again, at calls and from outside, until it is finished."""
        while True:
            kind = self.random.choice(("kill", "torn", "outside"))
            faults = "" if kind == "outside" else "%s@%d" % (kind, self.random.randint(1, calls))
            delay = self.random.uniform(0, 0.5)
            session = Session(self.folder, out, words, faults=faults, log=False,
                              after=(lambda process: (time.sleep(delay), process.kill())) if kind == "outside" else None)
            require(session.code in (0, -signal.SIGKILL), "neither finished nor killed:", session.code, session.err)
            if session.code == 0:
                break
            self.kills += 1
            self.hit["a run from outside" if kind == "outside" else "a run that went on before"] += 1
            check_folder(self.folder / out)
        self.compare(out, expected)

    def sweep(self, calls, expected, out="sweep"):
        """A sweep of four runs, two at once, all its processes killed again and again."""
        words, done = ("s.toml", "--jobs", "2"), {}
        while True:
            kind = self.random.choice(("kill", "torn", "outside"))
            faults = "" if kind == "outside" else "%s@%d" % (kind, self.random.randint(1, calls))
            delay = self.random.uniform(0, 1)
            after = (lambda process: self.kill_all(process, delay)) if kind == "outside" else None
            session = Session(self.folder, out, words, faults=faults, log=False, after=after)
            require(session.code in (0, -signal.SIGKILL), "neither finished nor killed:", session.code, session.err)
            check_folder(self.folder / out) if (self.folder / out).exists() else None
            for run, files in done.items():
                require(self.times(self.folder / out / "s" / run) == files, "a finished run was touched:", run)
            for run in (self.folder / out / "s").glob("*/run.json"):
                if json.loads(run.read_text())["status"] == "finished":
                    done.setdefault(run.parent.name, self.times(run.parent))
            if session.code == 0:
                break
            self.kills += 1
            self.hit["a sweep" + (" from outside" if kind == "outside" else "")] += 1
        check_finished(self.folder / out)
        for line in (self.folder / out / "s/index.jsonl").read_text().splitlines():
            require(json.loads(line)["status"] == "finished", "the index says", line)
        check_same(outcomes(self.folder / out / "s"), expected)
        shutil.rmtree(self.folder / out)

    @staticmethod
    def times(run):
        """When each file was changed; the sound and the lock are not the run's own."""
        return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}

    @staticmethod
    def kill_all(process, delay):
        time.sleep(delay)
        try:
            children = Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()
        except OSError:
            children = []
        process.kill()  # first: it must not see its runs die
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not any(Path("/proc/%s/comm" % child).exists() and Path("/proc/%s/comm" % child).read_text() == "run_experiment\n" and
                                   " Z " not in Path("/proc/%s/stat" % child).read_text() for child in children))


def power_failures(folder, calls, words, expected, count, generator):
    """The disk after a power failure at `count` of the calls, with what was not flushed kept or not as chance has it."""
    numbers = sorted(generator.choices(range(1, len(calls) + 1), k=count))
    disk, played, found = power.Disk(folder / "traced"), 0, Counter()
    renamed, safe = False, 0  # epochs whose checkpoint is on the disk: renamed, and the folder flushed
    for number in numbers:
        for call in calls[played:number]:
            disk.play(call)
            renamed = renamed or (call.name == "rename" and call.other.endswith("/last.safetensors"))
            if renamed and call.name == "fsync" and call.path.endswith("/checkpoints"):
                renamed, safe = False, safe + 1
        played = number
        out = folder / "power"
        disk.write(out, generator)
        check_folder(out)
        before = saved_epoch(out / "x")
        require(max(0, before) >= safe, "the checkpoint of epoch", safe, "was flushed, but what is there is of epoch", before)
        found["with epochs" if before > 0 else "with nothing to go on from"] += 1
        session = finish(folder, "power", words)
        require(all(epoch > before for epoch in epochs_said(session.out)), "epochs were done again after epoch", before, ":", session.out)
        check_finished(out)
        check_same(outcome(out / "x"), expected)
        shutil.rmtree(out)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--power", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print("seed", seed, flush=True)
    generator = random.Random(seed)
    started = time.monotonic()
    with workplace() as folder:
        kills = Kills(folder, generator)
        words = ("x.toml",)
        whole = finish(folder, "traced", words)
        expected = outcome(folder / "traced/x")
        calls = [call for call in whole.calls if call.name != "close"]
        renames = power.check_order(whole.calls)
        print("a run makes %d calls; %d files got their final names by a rename, all in order" % (len(calls), renames), flush=True)
        disk = power.Disk(folder / "traced")
        for call in whole.calls:
            disk.play(call)
        disk.write(folder / "replayed")
        check_same(outcome(folder / "replayed/x"), expected)  # the model of the disk is right where nothing fails

        each = max(1, options.kills // 3)
        for torn in (False, True):
            numbers = [call.number for call in calls if not torn or (call.name == "write" and call.result > 1)]
            chosen = sorted(generator.sample(numbers, min(len(numbers), each if not torn else each // 2)))
            for number in chosen:
                kills.hit[kind_of(calls[number - 1]) + (" (half of it)" if torn else "")] += 1
            kills.at_calls(chosen, words, expected, torn)
        print("%d kills at calls of a fresh run" % kills.kills, flush=True)

        longer = finish(folder, "longer", words + LONGER)  # for chains of kills
        expected_longer = outcome(folder / "longer/x")
        while kills.kills < options.kills * 3 // 4:
            kills.chain(longer.count_of_calls, words + LONGER, expected_longer)
        print("%d kills with those of runs that were killed again and again" % kills.kills, flush=True)

        sweep = finish(folder, "sweeps", ("s.toml", "--jobs", "2"))
        expected_sweep = outcomes(folder / "sweeps/s")
        while kills.kills < options.kills:
            kills.sweep(sweep.count_of_calls, expected_sweep)
        print("%d kills with those of a sweep" % kills.kills, flush=True)
        failures = power_failures(folder, whole.calls, words, expected, options.power, generator)
    for what, count in sorted(kills.hit.items()):
        print("%5d  %s" % (count, what))
    failed = ", ".join("%d %s" % (count, what) for what, count in failures.items())
    print("%d kills and %d power failures (%s), %d starts in %d s: all ended as the run that was never disturbed" %
          (kills.kills, options.power, failed, Session.count, time.monotonic() - started))


if __name__ == "__main__":
    main()
