#!/usr/bin/env python3
"""long.py BUILD [--steps N]: N training steps of a tiny model; the process must not grow, and its logs must stay small.

Watched while it runs: resident memory, open files, threads. At the end the sizes of what it has logged, and what they make of 72 hours.
"""
import argparse
import json
import os
import re
import time
from pathlib import Path

from sessions import SANITIZED, Session, curves, require, workplace

HOURS = 72


def watch(process, run, found):
    """(epochs done, resident kB, open files, threads) every 50 ms."""
    proc = Path("/proc/%d" % process.pid)
    while process.poll() is None:
        try:
            status = proc.joinpath("status").read_text()
            files = len(os.listdir(proc / "fd"))
        except OSError:
            break
        lines = (run / "metrics.jsonl").read_bytes().count(b"\n") if (run / "metrics.jsonl").exists() else 0
        resident, threads = re.search(r"VmRSS:\s*(\d+)", status), re.search(r"Threads:\s*(\d+)", status)
        if resident and lines:
            found.append((lines // 2, int(resident[1]), files, int(threads[1])))
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--steps", type=int, default=20000)
    options = parser.parse_args()
    with workplace() as folder:
        run, found = folder / "long/x", []
        words = ("x.toml", "--quiet", "train.batch=1", "data.window=8", "generate.bars=4")
        said = Session(folder, "long", ("x.toml", *words[2:], "--dry-run")).out
        an_epoch = int(re.search(r"(\d+) steps an epoch", said)[1])
        epochs = max(6, -(-options.steps // an_epoch))
        words += ("train.epochs=%d" % epochs, "train.patience=%d" % epochs)
        started = time.monotonic()
        session = Session(folder, "long", words, log=False, limit=3600, after=lambda process: watch(process, run, found))
        seconds = time.monotonic() - started
        require((session.code, session.err) == (0, ""), session.code, session.err)
        steps = json.loads((run / "run.json").read_text())["steps"]
        require(steps == epochs * an_epoch, steps, "steps, expected", epochs * an_epoch)

        # All is there after the first tenth; from there on nothing grows. A megabyte is for pages that the heap had not touched.
        training = [row for row in found if row[0] < epochs]
        early = [row for row in training if row[0] >= max(1, epochs // 10)]
        require(len(early) >= 10, "seen too seldom:", len(early))
        third = len(early) // 3
        # Of files the least: one that is open for a moment (a checkpoint being written) is seen or not, a leak stays.
        for column, name, slack, of in ((1, "resident kB", 1024, max), (2, "open files", 0, min), (3, "threads", 0, min)):
            first, last = of(row[column] for row in early[:third]), of(row[column] for row in early[-third:])
            print("%s: at %s %d in the first third, %d in the last" % (name, "most" if of is max else "least", first, last))
            if not (SANITIZED and column == 1):
                require(last <= first + slack, name, "grew from", first, "to", last)

        log, metrics = (run / "log.txt").stat().st_size, (run / "metrics.jsonl").stat().st_size
        events = sum(path.stat().st_size for path in run.glob("events.*") if not path.name.endswith(".samples"))
        noted = len(curves(run)["step/total"])
        a_step = events / (noted + epochs * 3)  # train, valid and the rate of each epoch lie among them
        print("%d steps in %d epochs, %.0f s: log.txt %d B an epoch, metrics.jsonl %d B, TensorBoard %.0f B a noted step (%d of %d were)" %
              (steps, epochs, seconds, log / epochs, metrics / epochs, a_step, noted, steps))
        require(log / epochs < 400 and metrics / epochs < 600 and a_step < 250, "the logs have grown: the figures of README.md no longer hold")
        require(noted <= 10000 + 9000, "too many steps were noted:", noted)
        long_epochs, most_noted = HOURS * 360, 10000 + 9000 * 4  # of 100 million steps
        print("%d hours, 100 million steps, an epoch every 10 s: TensorBoard %.1f MB, log.txt and metrics.jsonl %.1f MB" %
              (HOURS, (most_noted + 3 * long_epochs) * a_step / 1e6, long_epochs * (log + metrics) / epochs / 1e6))


if __name__ == "__main__":
    main()
