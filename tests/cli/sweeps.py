"""Sweeps: many runs from one file, whatever happens to some of them or to the process that runs them."""
import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

from support import RESUMABLE, RUN, SANITIZED, SOURCE, USAGE, Case, contents, outcome, text

OWN_FILES = ("log.txt", "index.jsonl", "sweep.toml", "report.html", "report.csv", "report_runs.csv")  # of a sweep
SWEEP = """extends = "x.toml"
[sweep]
seeds = [1, 2]
[sweep.axes]
train.learning_rate = [0.002, 0.01]
"""
LONG = ("data.windows=staggered", "data.stride=2", "train.batch=2", "train.epochs=6", "train.patience=6", "--threads", "1")
ENDLESS = ("train.epochs=100000", "train.patience=100000")
SLOW = (*ENDLESS, "data.windows=staggered", "data.stride=1", "data.lowest_note=36", "data.notes=48", "model.blocks=[{kind='attention_time_notes',heads=2,head_dim=16}]")


class Sweep(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.write("s.toml", SWEEP)

    def index(self, out="runs", name="s"):
        return [json.loads(line) for line in (self.folder / out / name / "index.jsonl").read_text().splitlines()]

    def statuses(self, out="runs", name="s"):
        return [line["status"] for line in self.index(out, name)]

    def outcomes(self, out, name="s"):
        return {line["id"]: outcome(self.folder / out / name / line["id"]) for line in self.index(out, name)}

    def assert_same_sweep(self, out, expected):
        found = self.outcomes(out)
        self.assertEqual(sorted(found), sorted(expected))
        for run in expected:
            self.assert_same_outcome(found[run], expected[run])

    def wait_for(self, condition, process=None):
        until = time.monotonic() + 300
        while not condition():
            self.assertLess(time.monotonic(), until, "waited too long")
            if process:
                self.assertIsNone(process.poll(), "ended too soon")
            time.sleep(0.01)

    def trained(self, out, name="s"):
        """How many runs have logged an epoch."""
        return len(list((self.folder / out / name).glob("*/metrics.jsonl")))

    @contextlib.contextmanager
    def running(self, *words, **options):
        """A process that is killed where a check fails."""
        process = self.start(*words, **options)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def children(self, process):
        return [int(child) for child in Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()]


class Whole(Sweep):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, cls.said, err = cls.call(RUN, "s.toml")
        assert (code, err) == (0, ""), err

    def test_what_is_said(self):
        lines = self.said.splitlines()
        self.assertRegex(lines[0], r"^sweep s: 2 configurations x 2 seeds = 4 runs in runs/s; 1 at once, \d+ threads; 0 of 4 finished$")
        self.assertRegex(lines[1], r"^\[0\] begins: learning_rate 0\.002, seed 1: runs/s/learning_rate_0\.002-seed1-[0-9a-f]{10}$")
        self.assertRegex(lines[2], r"^\[0\] finished in \d+ s, best loss [\d.]+: learning_rate 0\.002, seed 1; 1 of 4 finished, about \d+ s left$")
        self.assertEqual(lines[-2:], ["report: runs/s/report.html", "all 4 runs are finished: runs/s"])
        self.assertIn("learning_rate 0.01", (self.folder / "runs/s/report.html").read_text())
        logged = [line for line in lines if not re.match(r"\[\d+\] .*\d+ s; \d of 4 finished, about", line)]  # the line that is redrawn: not on a fast machine
        self.assertEqual((self.folder / "runs/s/log.txt").read_text().splitlines()[:len(logged)], logged)

    def test_a_key_that_no_run_uses(self):
        self.refused(RUN, "s.toml", "data.stride=3", message=r"^run_experiment: command line: data\.stride: changes nothing here: only data\.windows = \"staggered\" uses it$")
        self.run_ok("s.toml", "--list", "data.stride=3", "sweep.axes.data.windows=['lanes', 'staggered']", "sweep.axes.train.learning_rate=[0.002]")

    def test_index(self):
        lines = self.index()
        self.assertEqual([(line["label"], line["seed"], line["status"]) for line in lines],
                         [("learning_rate %s" % rate, seed, "finished") for seed in (1, 2) for rate in ("0.002", "0.01")])
        for line in lines:
            self.assertEqual(line["settings"], {"train.learning_rate": float(line["label"].split()[1])})
            self.assertGreater(line["seconds"], 0)
            self.assertIs(line["autoregressive"], True)
            self.assertEqual(line.get("baseline", False), line["label"] == "learning_rate 0.002")
            self.assertNotIn("error", line)

    def test_each_is_an_ordinary_run(self):
        for line in self.index():
            folder = self.folder / "runs/s" / line["id"]
            run = json.loads((folder / "run.json").read_text())
            self.assertEqual((run["status"], run["seed"], run["sittings"]), ("finished", line["seed"], 1))
            self.assertRegex(run["command_line"], r"run_experiment s\.toml --index \d$")
            self.assertIn("finished in ", (folder / "log.txt").read_text())
        self.assertIn("finished already", self.run_ok("runs/s/%s/config.toml" % line["id"], "--out", "runs/s"))
        self.run_ok("runs/s/%s/config.toml" % line["id"], "--out", "alone", "--quiet")
        self.assert_same_outcome(outcome(self.folder / "alone" / line["id"]), outcome(self.folder / "runs/s" / line["id"]))

    def test_finished_ones_are_left_alone(self):
        before = contents(self.folder / "runs/s", but=OWN_FILES)
        said = self.run_ok("s.toml")
        self.assertEqual(said.splitlines()[-1], "all 4 runs are finished: runs/s")
        self.assertNotIn("begins", said)
        self.assertEqual(self.run_ok("s.toml", "--quiet"), "")
        self.assertIn("is finished already", self.run_ok("s.toml", "--index", "2"))
        # The same settings from the sweep's own sweep.toml, and under other labels.
        self.assertIn("4 of 4 finished", self.run_ok("runs/s/sweep.toml"))
        self.write("other.toml", SWEEP.replace('x.toml"', 'x.toml"\nname = "s"').replace("train.l", "train.batch = [4]\ntrain.l"))
        self.assertIn("4 of 4 finished", self.run_ok("other.toml"))
        self.assertTrue(self.index()[0]["label"].startswith("batch 4, "))
        self.assertEqual(self.run_ok("s.toml").splitlines()[-1], "all 4 runs are finished: runs/s")
        self.assert_untouched(self.folder / "runs/s", before, but=OWN_FILES)

    def test_jobs_give_the_same_bits(self):
        said = self.run_ok("s.toml", "--out", "jobs", "--jobs", "2", "--threads", "3")
        self.assertIn("2 at once, 1 or 2 threads each", said)
        started = [said.index("[%d] begins" % i) for i in (0, 1)]
        self.assertLess(max(started), said.index("] finished"))  # the second begins before the first has ended
        self.assert_same_sweep("jobs", self.outcomes("runs"))
        threads = [json.loads((self.folder / "jobs/s" / line["id"] / "run.json").read_text())["threads"] for line in self.index("jobs")]
        self.assertEqual(set(threads), {1, 2})

    def test_index_runs_one(self):
        ids = self.run_ok("s.toml", "--list", "--out", "array").split()
        self.assertEqual(ids, [line["id"] for line in self.index()])
        self.assertFalse((self.folder / "array").exists())
        said = self.run_ok("s.toml", "--index", "1", "--out", "array")
        self.assertRegex(said, r"\Arun 1 of 4 \(0 \.\. 3\) of the sweep s: learning_rate 0\.01, seed 1\nPopH ")
        self.assertEqual(self.statuses("array"), ["pending", "finished", "pending", "pending"])
        self.refused(RUN, "s.toml", "--index", "4", "--out", "array", message="--index 4: this sweep has 4 runs, counted from 0")
        for i in "032":
            self.run_ok("s.toml", "--index", i, "--out", "array", "--quiet")
        self.assert_same_sweep("array", self.outcomes("runs"))

    def test_a_job_array(self):
        fake = self.folder / "bin"
        self.write("bin/srun", "#!/bin/sh\nexec \"$@\"\n").chmod(0o755)
        self.write("bin/scontrol", "#!/bin/sh\necho \"scontrol $*\"\n").chmod(0o755)
        slurm = {"PATH": "%s:%s" % (fake, os.environ["PATH"]), "POPH_BUILD": str(Path(RUN).parent), "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "70",
                 "SLURM_CPUS_PER_TASK": "1"}
        script = SOURCE / "experiments/sweeps/array.sbatch"
        code, out, err = self.call("bash", script, "s.toml", "--out", "slurm", environment=slurm)
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(self.statuses("slurm"), ["pending", "pending", "pending", "finished"])
        with self.running("bash", script, "s.toml", *ENDLESS, "--out", "endless", environment=slurm) as process:
            self.wait_for(lambda: self.trained("endless"), process)
            os.kill(self.children(process)[0], signal.SIGTERM)
            out, err = process.communicate(timeout=600)
        self.assertEqual((process.returncode, err), (RESUMABLE, b""), out)
        self.assertRegex(out.decode(), r"scontrol requeue 70_3\n\Z")
        self.assertEqual(self.statuses("endless")[3], "interrupted")

    def test_a_changed_setting_is_a_new_run(self):
        self.run_ok("s.toml", "--out", "changed", "--quiet")
        before = contents(self.folder / "changed/s", but=OWN_FILES)
        old = {line["id"] for line in self.index("changed")}
        self.write("changed.toml", SWEEP.replace('x.toml"', 'x.toml"\nname = "s"').replace("0.01", "0.02"))
        self.assertIn("threads; 2 of 4 finished, about", self.run_ok("changed.toml", "--out", "changed"))
        now = {line["id"] for line in self.index("changed")}
        self.assertEqual((len(now), len(now & old)), (4, 2))
        after = contents(self.folder / "changed/s", but=OWN_FILES)
        self.assertEqual({name: after[name] for name in before}, before)
        self.assertEqual(len({name.split("/")[0] for name in after if "/" in name}), 6)
        self.assertIn("4 of 4 finished", self.run_ok("s.toml", "--out", "changed"))  # and back

    def test_restart_moves_the_old_sweep_aside(self):
        self.run_ok("s.toml", "--out", "again", "--quiet")
        self.assertIn("the old sweep is now again/s.1\n", self.run_ok("s.toml", "--out", "again", "--restart"))
        self.assertEqual(self.statuses("again", "s.1"), ["finished"] * 4)
        self.assertIn("the old run is now again/s/", self.run_ok("s.toml", "--out", "again", "--restart", "--index", "2"))
        self.assertEqual(self.statuses("again"), ["finished"] * 4)

    def test_a_terminal_gets_one_line_redrawn(self):
        shown = self.on_terminal(RUN, "s.toml", "--out", "terminal", "--jobs", "2", "data.windows=staggered", "data.stride=2", "train.epochs=10")
        self.assertRegex(shown, rb"\r\[0\] epoch \d+/10 \d+ s \| \[1\] epoch \d+/10 \d+ s; 0 of 4 finished\033\[K")


class Broken(Sweep):
    AXES = "[[sweep.axes]]\ndata.source = [\"music\", \"gone\"]\n[[sweep.axes]]\ntrain.optimizer = [\"sgd\"]\ntrain.learning_rate = [1e30]\ntrain.batch = [1]\n" \
           "[[sweep.axes]]\ntrain.batch = [2]\n"

    def test_they_are_recorded_and_the_rest_goes_on(self):
        self.write("b.toml", 'extends = "x.toml"\n' + self.AXES)
        said = self.refused(RUN, "b.toml", message=r"runs/b: 2 of 4 runs failed; --retry-failed tries them again; the first: \[1\] source gone, seed 3: .*gone")
        self.assertEqual(self.statuses(name="b"), ["finished", "failed", "diverged", "finished"])
        gone, diverged = self.index(name="b")[1:3]
        self.assertRegex(gone["error"], "gone.*[Nn]o such file")
        self.assertRegex(diverged["error"], r"training diverged: the \w+ loss of step")
        self.assertRegex(said, r"(?m)^\[1\] failed: source gone, seed 3: .*gone.*; 1 of 4 finished, 1 failed, about")
        self.assertEqual(json.loads((self.folder / "runs/b" / gone["id"] / "run.json").read_text())["error"], gone["error"])
        before = contents(self.folder / "runs/b", but=OWN_FILES)
        said = self.refused(RUN, "b.toml", message="2 of 4 runs failed")
        self.assertNotIn("begins", said)
        self.refused(RUN, "b.toml", "--index", "1", message="source_gone-seed3-[0-9a-f]+: failed before: .*gone.*; --retry-failed tries it again")
        self.assert_untouched(self.folder / "runs/b", before, but=OWN_FILES)
        self.write("gone/0.mid", (self.folder / "music/0.mid").read_bytes())
        self.write("gone/1.mid", (self.folder / "music/1.mid").read_bytes())
        said = self.refused(RUN, "b.toml", "--retry-failed", message=r"1 of 4 runs failed; .*; the first: \[2\]")
        self.assertEqual(said.count("begins"), 2)
        self.assertEqual(self.statuses(name="b"), ["finished", "finished", "diverged", "finished"])
        self.assertNotIn("error", self.index(name="b")[1])

    def test_one_alone_is_recorded_too(self):
        self.write("i.toml", 'extends = "x.toml"\n' + self.AXES.replace("gone", "nowhere"))
        self.refused(RUN, "i.toml", "--index", "1", message="nowhere")
        self.refused(RUN, "i.toml", "--index", "2", "--quiet", message="training diverged")
        self.assertEqual(self.statuses(name="i"), ["pending", "failed", "diverged", "pending"])
        self.assertRegex(self.index(name="i")[1]["error"], "nowhere")

    def test_one_that_is_killed(self):
        # As the kernel does where memory runs out.
        self.write("k.toml", 'extends = "x.toml"\n[[sweep.axes]]\ntrain.epochs = [100000]\ntrain.patience = [100000]\n[[sweep.axes]]\ntrain.epochs = [1]\n')
        with self.running(RUN, "k.toml") as process:
            self.wait_for(lambda: self.trained("runs", "k"), process)
            os.kill(self.children(process)[0], signal.SIGKILL)
            _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(err.decode(), r"runs/k: 1 of 2 runs failed; .*ended by signal 9 \(Killed\): out of memory\?\n\Z")
        self.assertEqual(self.statuses(name="k"), ["failed", "finished"])

    def test_a_run_that_cannot_be_written(self):
        ids = self.run_ok("s.toml", "--list", "--out", "way").split()
        self.write("way/s/sweep.lock", "")
        self.write("way/s/%s" % ids[2], "precious")
        self.refused(RUN, "s.toml", "--out", "way", message=r"1 of 4 runs failed; .*\[2\] .* is in the way")
        self.assertEqual(self.statuses("way"), ["finished", "finished", "failed", "finished"])
        self.assertEqual((self.folder / "way/s" / ids[2]).read_text(), "precious")


class Stopped(Sweep):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, _, err = cls.call(RUN, "s.toml", "--out", "whole", "--quiet", *LONG)
        assert code == 0, err

    def setUp(self):
        self.whole = self.outcomes("whole")

    def test_signals(self):
        for out, jobs, number in (("int", "1", signal.SIGINT), ("term", "2", signal.SIGTERM)):
            with self.running(RUN, "s.toml", "--out", out, "--jobs", jobs, *LONG) as process:
                self.wait_for(lambda: self.trained(out), process)
                process.send_signal(number)
                said, err = process.communicate(timeout=600)
            self.assertEqual((process.returncode, err), (RESUMABLE, b""), said)
            self.assertRegex(said.decode(), r"\] interrupted: .*\n(.*\n)?interrupted: \d of 4 finished\. The same command resumes it\.\n\Z")
            self.assertEqual(self.statuses(out).count("interrupted"), int(jobs))
            self.run_ok("s.toml", "--out", out, *LONG)
            self.assert_same_sweep(out, self.whole)

    def test_a_scheduler_signals_every_process(self):
        # The run gets the signal itself and again from its parent: that is one request, also where a step takes more than a second.
        with self.running(RUN, "s.toml", "--out", "all", "--threads", "1", *SLOW, "train.batch=2", "data.window=%d" % (96 if SANITIZED else 256)) as process:
            logs = lambda: "".join(path.read_text() for path in (self.folder / "all/s").glob("*/log.txt"))
            self.wait_for(lambda: "heads" in logs(), process)
            time.sleep(1)
            os.kill(self.children(process)[0], signal.SIGTERM)
            time.sleep(0.4)
            process.send_signal(signal.SIGTERM)
            said, err = process.communicate(timeout=600)
        self.assertEqual((process.returncode, err), (RESUMABLE, b""), said)
        self.assertEqual(self.statuses("all")[0], "interrupted")
        self.assertIn("interrupted: saved at step", logs())

    def test_killed(self):
        for attempt in range(2):
            with self.running(RUN, "s.toml", "--out", "killed", "--jobs", "2", *LONG) as process:
                self.wait_for(lambda: self.trained("killed") > attempt, process)
                process.send_signal(signal.SIGKILL)
                process.communicate(timeout=600)
            self.assertEqual(process.returncode, -signal.SIGKILL)
        self.run_ok("s.toml", "--out", "killed", *LONG)  # at once: its runs may be saving still
        self.assert_same_sweep("killed", self.whole)
        self.assertEqual(self.statuses("killed"), ["finished"] * 4)

    def test_nothing_outlives_its_parent(self):
        with self.running(RUN, "s.toml", "--out", "orphan", *ENDLESS) as process:
            self.wait_for(lambda: self.trained("orphan"), process)
            child, = self.children(process)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=600)
        gone = lambda: not Path("/proc/%d" % child).exists() or " Z " in Path("/proc/%d/stat" % child).read_text()
        self.addCleanup(lambda: gone() or os.kill(child, signal.SIGKILL))
        self.wait_for(gone)
        run = next((self.folder / "orphan/s").glob("*/run.json"))
        self.assertEqual(json.loads(run.read_text())["status"], "interrupted")

    def test_a_second_signal_leaves_at_once(self):
        with self.running(RUN, "s.toml", "--out", "twice", *SLOW, "train.batch=8", "data.window=512") as process:
            process.stdout.readline()
            self.assertIn(b"[0] begins", process.stdout.readline())
            self.assertEqual(self.statuses("twice")[0], "running")
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            self.assertIsNone(process.poll(), "the step was over too soon for this test")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=600)
        self.assertEqual(process.returncode, -signal.SIGINT)


class Shared(Sweep):
    def test_two_processes(self):
        self.run_ok("s.toml", "--out", "alone", "--quiet", "sweep.seeds=[1, 2, 3]")
        processes = [self.start(RUN, "s.toml", "--out", "shared", "--threads", "1", "sweep.seeds=[1, 2, 3]") for _ in range(2)]
        said = [process.communicate(timeout=600) for process in processes]
        self.assertEqual([(process.returncode, err) for process, (_, err) in zip(processes, said)], [(0, b"")] * 2)
        started = [set(re.findall(rb"(?m)^\[(\d)\] begins", out)) for out, _ in said]
        self.assertEqual(sum(out.count(b"] finished in") for out, _ in said), 6)
        self.assertEqual(started[0] | started[1], {b"%d" % i for i in range(6)})
        for out, _ in said:
            self.assertIn(b"all 6 runs are finished", out)
        for line in self.index("shared"):
            self.assertEqual(json.loads((self.folder / "shared/s" / line["id"] / "run.json").read_text())["sittings"], 1)
        self.assert_same_sweep("shared", self.outcomes("alone"))

    def test_what_another_process_holds_is_passed_over(self):
        ids = self.run_ok("s.toml", "--list", "--out", "held").split()
        with self.running(RUN, "s.toml", "--out", "held", "--index", "1", *ENDLESS) as one:
            self.wait_for(lambda: self.trained("held"), one)
            self.refused(RUN, "s.toml", "--out", "held", "--index", "1", *ENDLESS, message=r"is in use by process %d on " % one.pid)
            self.refused(RUN, "s.toml", "--out", "held", message="held/s is in use by a process with other settings of this sweep")
            self.refused(RUN, "s.toml", "--out", "held", "--restart", message="held/s is in use by another process")
            one.send_signal(signal.SIGTERM)
            one.communicate(timeout=600)
        self.assertEqual(len(ids), 4)

    def test_a_run_that_is_let_go_is_taken_up(self):
        with self.running(RUN, "s.toml", "--out", "let go", "--index", "0", *LONG) as one:
            self.wait_for(lambda: self.trained("let go"), one)
            one.send_signal(signal.SIGSTOP)
            with self.running(RUN, "s.toml", "--out", "let go", *LONG) as other:
                self.wait_for(lambda: self.statuses("let go").count("finished") == 3, other)
                self.assertEqual(self.statuses("let go")[0], "running")
                time.sleep(0.3)
                one.send_signal(signal.SIGKILL)
                said, err = other.communicate(timeout=600)
        self.assertEqual((other.returncode, err), (0, b""), said)
        self.assertEqual(json.loads((self.folder / "let go/s" / self.index("let go")[0]["id"] / "run.json").read_text())["sittings"], 2)
        self.run_ok("s.toml", "--out", "whole", "--quiet", *LONG)
        self.assert_same_sweep("let go", self.outcomes("whole"))


class Asked(Sweep):
    def test_dry_run(self):
        out = self.run_ok("s.toml", "--dry-run", "--jobs", "2", "--threads", "2", "--out", "never")
        self.assertEqual(len(re.findall(r"(?m)^ +\d  learning_rate_\S+-seed[12]-[0-9a-f]{10}  learning_rate 0\.0\d+(, the baseline)?: pending, at most \d+ s$", out)), 4)
        self.assertRegex(out, r"time: at most \d+ s for the 4 runs that are left, 2 at once with 1 thread each; composing not counted, early stopping neither\n\Z")
        self.assertFalse((self.folder / "never").exists())
        self.assertIn("time: ", self.run_ok("s.toml", "--dry-run", "--index", "3", "--out", "never"))
        long = self.run_ok("s.toml", "--dry-run", "train.epochs=1000000", "--out", "never")
        self.assertRegex(long, r"time: at most \d+ h")
        self.run_ok("s.toml", "--index", "0", "--quiet", "--out", "part")
        self.assertRegex(self.run_ok("s.toml", "--dry-run", "--out", "part"), r"(?m)^    0 .*: finished$[\s\S]* for the 3 runs that are left")
        self.refused(RUN, "s.toml", "data.source=nowhere", "--dry-run", message="nowhere")

    def test_print_config(self):
        shown = self.run_ok("s.toml", "--print-config")
        self.assertIn("[[sweep.axes]]\ntrain.learning_rate = [0.002, 0.01]\n", shown)
        shown = self.run_ok("s.toml", "--print-config", "--index", "1")
        self.assertRegex(shown, r"(?m)^learning_rate = 0\.01 +# s\.toml:5$")
        self.assertRegex(shown, r"(?m)^seed = 1 +# s\.toml:3$")

    def test_mistakes(self):
        self.write("bad.toml", SWEEP.replace("learning_rate", "learning_rat"))
        self.refused(RUN, "bad.toml", "--out", "bad", message=r'bad\.toml:5: sweep\.axes: unknown key "train\.learning_rat": did you mean "train\.learning_rate"\?')
        self.assertFalse((self.folder / "bad").exists())
        for words in (["--list"], ["--index", "0"], ["--jobs", "2"], ["--retry-failed"]):
            self.refused(RUN, "x.toml", *words, message=r"%s: x\.toml has no \[sweep\]: it is one run" % words[0])
        self.refused(RUN, "s.toml", "--jobs", "0", code=USAGE, message="--jobs")
        self.refused(RUN, "s.toml", "--smoke", message="--smoke: .*--index")
        self.write("taken/s/letter.txt", "precious")
        self.refused(RUN, "s.toml", "--out", "taken", message="taken/s holds something else than a sweep of PopH")
        self.run_ok("x.toml", "name=s", "train.epochs=1", "--quiet", "--out", "one")
        self.refused(RUN, "s.toml", "--out", "one", message="one/s holds something else than a sweep of PopH")

    def test_shipped(self):
        small = ("data.source=music", "data.window=16", "data.lowest_note=60", "data.notes=2", "model.octave_units=2", "train.epochs=1", "sweep.seeds=[1]")
        found = sorted((SOURCE / "experiments/sweeps").glob("*.toml"))
        self.assertEqual([path.stem for path in found], ["attention", "losses", "orderings", "quick", "small_losses", "small_orderings", "small_orderings_and_leaks"])
        for path in found:
            with self.subTest(path.stem):
                ids = self.run_ok(path, "--list").split()
                self.assertEqual(len(set(ids)), len(ids))
                self.assertEqual(len(ids) % 6, 0)
                configurations = len(ids) // 6
                overrides = [word for word in small if path.stem != "losses" or "window" not in word]
                if path.stem == "attention":  # a part of its 24 models, as its comment says
                    configurations = 4
                    overrides += ["sweep.mode=random", "sweep.runs=4"]
                shown = self.run_ok(path, "--dry-run", *overrides, "train.batch=1")
                self.assertIn("for the %d runs that are left" % configurations, shown)
                self.assertEqual(shown.count("[autoregressive = false]"), {"quick": 1, "orderings": 3, "small_orderings_and_leaks": 3}.get(path.stem, 0))
