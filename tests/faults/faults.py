#!/usr/bin/env python3
"""faults.py BUILD [--each N] [--seed S] [NAME..]: disks, folders, memory, clocks and signals that misbehave; then the same command again.

Each case asks for one clear line and the right exit code, that what was good before is still good, and that the run goes on to the very
numbers of an undisturbed one when the cause is gone. A NAME picks cases, those of CASES below.
"""
import argparse
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tarfile
import time
from collections import Counter
from pathlib import Path

from sessions import (POPH, RESUMABLE, SANITIZED, Fault, Session, check_finished, check_folder, check_same, cli, finish, outcome, outcomes, require, saved_epoch, wait_until,
                      workplace)

REASONS = {"ENOSPC": "No space left on device", "EIO": "Input/output error", "EROFS": "Read-only file system", "EDQUOT": "Disk quota exceeded"}
ENDLESS = ("train.epochs=1000000", "train.patience=1000000")
HEAVY = ("train.epochs=2", "data.lowest_note=36", "data.notes=48", "model.octave_units=16", "train.batch=16",
         "model.blocks=[{kind='lstm_time',units=128},{kind='lstm_notes',units=128}]")
WIDE = ("train.epochs=1", "data.lowest_note=36", "data.notes=48", "data.window=48", "train.batch=16",
        "model.blocks=[{kind='lstm_time',units=96},{kind='lstm_notes',units=64}]")  # a single step, of some hundred megabytes


def one_line(session, pattern):
    found = re.fullmatch(r"run_experiment: [^\n]+\n", session.err) and re.search(pattern, session.err)
    require(found, "one line with", pattern, "was expected:", session.err)
    require(session.code == 1, "exit code", session.code)


class Faults:
    def __init__(self, folder, generator, each):
        self.folder, self.random, self.each, self.done = folder, generator, each, Counter()
        whole = finish(folder, "whole")
        self.calls, self.expected = [call for call in whole.calls if call.name != "close"], outcome(folder / "whole/x")

    def go_on(self, out, before=-1, words=("x.toml",), expected=None):
        """The cause is gone: the same command ends as if nothing had been."""
        if (self.folder / out).exists():
            check_folder(self.folder / out)
        require(saved_epoch(self.folder / out / "x") >= before, "a checkpoint was lost")
        finish(self.folder, out, words)
        check_finished(self.folder / out)
        require((self.folder / out / "x/report.html").exists(), "there is no report")
        check_same(outcome(self.folder / out / "x"), expected or self.expected)
        shutil.rmtree(self.folder / out)

    def errors(self):
        """A disk that is full, broken, or read-only from one call on, or at that call alone."""
        for error, reason in REASONS.items():
            for number in sorted(self.random.sample(range(1, len(self.calls) + 1), min(self.each, len(self.calls)))):
                for on in ("", "+"):
                    session = Session(self.folder, "errors", faults="%s@%d%s" % (error, number, on))
                    what = "%s%s at %s" % (error, " from then on" if on else "", self.calls[number - 1])
                    try:
                        if session.code:
                            one_line(session, r"(cannot \w+ .*|error: .*)" + reason)
                            self.done[error + ": refused"] += 1
                        else:  # a log line, or a page that can be made again
                            require(session.err == "", session.err)
                            self.done[error + ": did without"] += 1
                        self.go_on("errors")
                    except Fault as fault:
                        raise Fault("%s: %s" % (what, fault))

    def interruptions(self):
        """Calls that a signal interrupts, or that take a part of what they are given: nobody notices."""
        for faults in ("EINTR@*", "short@1+", "short@*"):
            session = Session(self.folder, "parts", faults=faults)
            require((session.code, session.err) == (0, ""), faults, session.err)
            self.go_on("parts")
            self.done["interrupted and partial calls"] += len(self.calls)

    def signals(self):
        """A signal at a call: within a checkpoint, a line of the metrics, the samples, the report."""
        for name in ("INT", "TERM", "HUP", "USR1"):
            for number in sorted(self.random.sample(range(1, len(self.calls) + 1), min(self.each, len(self.calls)))):
                heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}  # nohup's heirs ignore it
                session = Session(self.folder, "signals", faults="%s@%d" % (name, number), options=heard)
                what = "%s at %s:" % (name, self.calls[number - 1])
                require(session.err == "", what, session.err)
                require(session.code in (0, RESUMABLE), what, "exit code", session.code)
                stopped = re.findall(r"(?m)^interrupted: saved at step \d+\. The same command resumes it; ", session.out)
                require(len(stopped) == (session.code == RESUMABLE), what, session.out)
                status = json.loads((self.folder / "signals/x/run.json").read_text())["status"]
                require(status == ("interrupted" if session.code else "finished"), what, "status", status)
                self.done[name + (": stopped" if session.code else ": came too late")] += 1
                self.go_on("signals")
        for _ in range(self.each):  # twice, with a moment between: at once
            gap, delay = self.random.uniform(0.06, 0.2), self.random.uniform(0, 0.3)

            def twice(process):
                time.sleep(delay)
                process.send_signal(signal.SIGINT)
                time.sleep(gap)
                process.send_signal(signal.SIGINT)
            words = ("x.toml", *HEAVY)
            session = Session(self.folder, "twice", words, after=twice)
            require(session.code in (-signal.SIGINT, RESUMABLE) and session.err == "", "INT twice:", session.code, session.err)
            self.done["INT twice: " + ("left at once" if session.code < 0 else "had saved by then")] += 1
            if (self.folder / "twice").exists():
                check_folder(self.folder / "twice")
        nohup = Session(self.folder, "nohup", after=lambda process: (time.sleep(0.1), process.send_signal(signal.SIGHUP)),
                        options={"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)})
        require((nohup.code, nohup.err) == (0, ""), "HUP under nohup:", nohup.code, nohup.err)
        self.go_on("nohup")

    def remove(self, out):
        """Whatever the run writes meanwhile."""
        while (self.folder / out).exists():
            shutil.rmtree(self.folder / out, ignore_errors=True)

    def folders(self):
        """The run's folder is removed, or another's is put in its place, while it is at work."""
        bars = 300 if SANITIZED else 3000   # that take longer than removing the folder
        for moment, words in (("epoch 2:", ENDLESS), ("composing", (f"generate.bars={bars}", "generate.pieces=1"))):
            def remove(process, moment=moment):
                if moment == "composing":
                    wait_until(lambda: saved_epoch(self.folder / "gone/x") == 3)
                    time.sleep(0.3)
                else:
                    wait_until(lambda: any(line.startswith(moment) for line in iter(process.stdout.readline, "")))
                self.remove("gone")
            session = Session(self.folder, "gone", ("x.toml", *words), after=remove, log=False)
            one_line(session, "cannot write .*gone/x")
            require(not (self.folder / "gone").exists(), "it made its folder again:", list((self.folder / "gone").rglob("*")))
            self.go_on("gone")
            self.done["folder removed"] += 1

        def replace(process):
            wait_until(lambda: saved_epoch(self.folder / "replaced/x") >= 2)
            os.rename(self.folder / "replaced/x", self.folder / "moved")
            finish(self.folder, "replaced")
        session = Session(self.folder, "replaced", ("x.toml", *ENDLESS), after=replace, log=False)
        one_line(session, "cannot write into the folder .*replaced/x: it was removed or replaced while this run was at work")
        self.go_on("replaced")
        self.done["folder replaced"] += 1

        def remove_sweep(process):
            wait_until(lambda: list((self.folder / "sweep/s").glob("*/metrics.jsonl")))
            self.remove("sweep")
        session = Session(self.folder, "sweep", ("s.toml", *ENDLESS), after=remove_sweep, log=False)
        one_line(session, "cannot write .*sweep/s")
        shutil.rmtree(self.folder / "sweep", ignore_errors=True)
        finish(self.folder, "sweep", ("s.toml",))
        shutil.rmtree(self.folder / "sweep")
        self.done["folder of a sweep removed"] += 1

    def memory(self):
        """The kernel kills a run of a sweep; and allocations fail: the address space ends at some size between none and enough."""
        finish(self.folder, "sweep whole", ("s.toml",))

        def kill_a_run(process):
            def children():
                return Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()
            wait_until(lambda: list((self.folder / "killed/s").glob("*/metrics.jsonl")) and children())
            os.kill(int(children()[0]), signal.SIGKILL)
        session = Session(self.folder, "killed", ("s.toml",), after=kill_a_run, log=False)
        one_line(session, r"1 of 4 runs failed; --retry-failed tries them again; the first: .*signal 9 \(Killed\): out of memory\?$")
        check_folder(self.folder / "killed")
        finish(self.folder, "killed", ("s.toml", "--retry-failed"))
        check_same(outcomes(self.folder / "killed/s"), outcomes(self.folder / "sweep whole/s"))
        self.done["memory: a sweep's run killed"] += 1
        if SANITIZED:
            return
        words = ("x.toml", *WIDE)

        def with_room(kilobytes):
            limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (kilobytes << 10,) * 2)}
            return Session(self.folder, "memory", words, log=False, options=limit)
        whole = finish(self.folder, "memory enough", words)
        enough, least = 2 << 20, 0
        while enough - least > 16384:  # where it is just enough, and where the program starts at all
            middle = (enough + least) // 2
            code = with_room(middle).code
            shutil.rmtree(self.folder / "memory", ignore_errors=True)
            enough, least = (middle, least) if code == 0 else (enough, middle)
        for room in sorted({int(enough * share) for share in [1 - 0.5 * i / self.each / 2 for i in range(2 * self.each)]}):
            session = with_room(room)
            if session.code == 0:
                self.done["memory: enough"] += 1
            elif "error while loading shared libraries" in session.err or session.code == 127:
                self.done["memory: too little to start"] += 1
            else:
                one_line(session, "out of memory|Cannot allocate memory|Resource temporarily unavailable|of memory, and .* are free")
                self.done["memory: refused"] += 1
            if (self.folder / "memory/x").exists():
                self.go_on("memory", words=words, expected=outcome(self.folder / "memory enough/x"))
        require(self.done["memory: refused"] > 0, "no allocation failed")
        require(whole.code == 0)

    def music(self):
        """An archive and a folder of as many files as the cache is for, a few of them no MIDI."""
        files = {"%d/%d.mid" % (i % 7, i): b"no MIDI" if i % 300 == 7 else cli.melody(1 + i % 9, i) for i in range(1000)}
        with tarfile.open(self.folder / "m.tar.gz", "w:gz") as archive:
            for name, data in files.items():
                about = tarfile.TarInfo(name)
                about.size = len(data)
                archive.addfile(about, io.BytesIO(data))
                path = self.folder / "m" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def reading(self, source, cache, **more):
        """What poph data says of it, but for how long it took and what became of the cache."""
        words = ("data", source, "--json", "--threads", "3", "data.lowest_note=60", "data.notes=12")
        session = Session(self.folder, "nothing", words, program=POPH, limit=60, POPH_CACHE=self.folder / cache, **more)
        session.said = {key: value for key, value in json.loads(session.out or "{}").items() if "second" not in key and key != "remarks"}
        return session

    def allocations(self):
        """An allocation fails, any: a run ends in a line and goes on; what is read is neither skipped nor kept so in the cache."""
        if SANITIZED:  # which have a new of their own
            return
        total = finish(self.folder, "counted").allocations
        shutil.rmtree(self.folder / "counted")
        for number in sorted(self.random.sample(range(1, total + 1), 6 * self.each)):
            try:
                session = Session(self.folder, "allocations", FAULTS_ALLOCATION=number)
                if session.code:
                    # toml++ reads numbers with a stream, which swallows a failed allocation: the number is said to be none.
                    one_line(session, "out of memory|Cannot allocate memory|could not be interpreted as a value")
                else:
                    require(session.err == "", session.err)
                self.done["an allocation of a run fails: " + ("refused" if session.code else "did without")] += 1
                self.go_on("allocations")
            except Fault as fault:
                raise Fault("allocation %d of %d: %s" % (number, total, fault))
        self.music()
        for source in ("m.tar.gz", "m"):
            whole = self.reading(source, "cache of the whole")
            require(whole.code == 0 and whole.said["skipped"] == 4 and len(list((self.folder / "cache of the whole").iterdir())) > 0, whole.out, whole.err)
            for number in sorted(self.random.sample(range(1, whole.allocations + 1), 10 * self.each)):
                what = "%s: allocation %d of %d:" % (source, number, whole.allocations)
                session = self.reading(source, "cache", FAULTS_ALLOCATION=number)
                if session.code:
                    require(session.code == 1 and re.fullmatch(r"poph: [^\n]*(out of memory|Cannot allocate memory)[^\n]*\n", session.err), what, session.code, session.err)
                else:
                    require(re.fullmatch(r"(poph: [^\n]*\n)?", session.err) and session.said == whole.said, what, [session.err, session.said, whole.said])
                self.done["an allocation of a reader fails: " + ("refused" if session.code else "did without")] += 1
                session = self.reading(source, "cache")
                require((session.code, session.err) == (0, "") and session.said == whole.said, what, "afterwards:", session.err, session.out)
                shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def threads(self):
        """The system has no more threads, or one more: those that there are read all the same."""
        self.music()
        for source in ("m.tar.gz", "m"):
            whole = self.reading(source, "cache of the whole")
            for left in ("0", "1"):
                session = self.reading(source, "cache of " + left, FAULTS_THREADS=left)
                require((session.code, session.err) == (0, "") and session.said == whole.said, source, left, session.err, session.out)
                self.done["threads: too few"] += 1

    def clocks(self):
        """Clocks that jump forwards and backwards, or stand still; lines of the log, times and locks do not mind."""
        for clock in ("jump", "still"):
            for number in (self.random.randint(1, len(self.calls)) for _ in range(self.each)):
                Session(self.folder, "clocks", faults="kill@%d" % number, clock=clock)
                session = Session(self.folder, "clocks", clock=clock)
                require((session.code, session.err) == (0, ""), clock, session.err)
                run = self.folder / "clocks/x"
                times = [json.loads(line)["time_s"] for line in (run / "metrics.jsonl").read_text().splitlines()]
                require(times == sorted(times) and times[0] >= 0, "times:", times)
                said = session.out + (run / "log.txt").read_text()
                odd = re.search(r"(?i).*((?<![\w.])-\d+(\.\d+)? (s|min|h)\b|\bnan\b|\binf\b|\d{6,} h).*", said)
                require(not odd, "an odd time:", odd and odd[0])
                require("finished already" in finish(self.folder, "clocks").out, "it was done again")
                self.go_on("clocks")
                self.done["clocks that " + clock] += 1

        def second(process):
            wait_until(lambda: (self.folder / "lock/x/metrics.jsonl").exists())
            other = Session(self.folder, "lock", clock="jump")
            one_line(other, r"lock/x is in use by process %d on \S+: wait for it" % process.pid)
            process.send_signal(signal.SIGTERM)
        session = Session(self.folder, "lock", ("x.toml", *ENDLESS), clock="jump", after=second, log=False)
        require(session.code == RESUMABLE, session.code, session.err)
        shutil.rmtree(self.folder / "lock")
        self.done["clocks that jump, and two processes"] += 1

    def disks(self):
        """Real disks of a few kilobytes, which then grow."""
        out = self.folder / "disk"
        out.mkdir()
        for kilobytes in self.random.sample(range(4, 720, 4), self.each):
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dk" % kilobytes, "tmpfs", str(out)], capture_output=True)
            if mounted.returncode:
                self.done["disks: none can be mounted here"] += 1
                return
            try:
                session = Session(self.folder, "disk")
                if session.code:
                    one_line(session, "cannot .*No space left on device")
                check_folder(out)
                self.done["disks: " + ("full" if session.code else "large enough")] += 1
                subprocess.run(["mount", "-o", "remount,size=16m", str(out)], check=True)
                finish(self.folder, "disk")
                check_finished(out)
                check_same(outcome(out / "x"), self.expected)
            finally:
                subprocess.run(["umount", "-l", str(out)], check=True)


CASES = ("errors", "interruptions", "signals", "folders", "memory", "allocations", "threads", "clocks", "disks")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--each", type=int, default=10, help="moments of each kind of fault")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("names", nargs="*")
    options = parser.parse_intermixed_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print("seed", seed, flush=True)
    started = time.monotonic()
    with workplace() as folder:
        faults = Faults(folder, random.Random(seed), options.each)
        for name in options.names or CASES:
            since = time.monotonic()
            getattr(faults, name)()
            print("%s: %.0f s" % (name, time.monotonic() - since), flush=True)
    for what, count in sorted(faults.done.items()):
        print("%5d  %s" % (count, what))
    print("%d starts in %d s: one line each, nothing lost, and all went on to the numbers of the run that was never disturbed" %
          (Session.count, time.monotonic() - started))


if __name__ == "__main__":
    main()
