"""Signals at any moment: a run that was interrupted and resumed is, bit for bit, the run that was not."""
import json
import random
import re
import signal
import time

from support import POPH, RESUMABLE, RUN, Case, metrics, outcome, read_tensors, text

# Half of the pieces held out: validation is a good part of the time. Composing is another.
LONG = ("data.windows=staggered", "data.stride=2", "data.split=0.5", "data.transpose=1", "train.batch=3", "train.epochs=4", "train.patience=4", "generate.bars=40",
        "generate.pieces=2", "train.schedule=plateau", "--threads", "1")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Resume(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        started = time.monotonic()
        code, _, err = cls.call(RUN, "x.toml", "--out", "whole", "--quiet", *LONG)
        assert code == 0, err
        cls.seconds = time.monotonic() - started
        cls.whole = outcome(cls.folder / "whole/x")
        cls.random = random.Random()  # other moments each time: none of them may matter

    def session(self, out, delay, number, until="PopH "):
        """Starts or resumes a run, signals it `delay` seconds after it printed a line that begins with `until`; (exit code, its lines)."""
        with self.start(RUN, "x.toml", "--out", out, *LONG) as process:
            lines = []
            for line in process.stdout:
                lines.append(line.decode())
                if lines[-1].startswith(until):
                    break
            time.sleep(delay)
            process.send_signal(number)
            rest, err = process.communicate(timeout=300)
        self.assertEqual(err, b"")
        return process.returncode, "".join(lines) + rest.decode()

    def finish(self, out):
        said = self.run_ok("x.toml", "--out", out, *LONG)
        self.assert_same_outcome(outcome(self.folder / out / "x"), self.whole)
        self.assertEqual(self.status(out + "/x"), "finished")
        return said

    def test_interrupted_again_and_again(self):
        where = set()
        for attempt in range(24):
            out = "attempt %d" % attempt
            for session in range(4):
                code, said = self.session(out, self.random.uniform(0, self.seconds / 3), self.random.choice(SIGNALS))
                if code == 0:  # too late
                    break
                self.assertEqual(code, RESUMABLE, said)
                self.assertRegex(said, r"(?m)^interrupted: saved at step \d+\. The same command resumes it; \S*poph generate %s/x composes" % text(out))
                if session:
                    self.assertRegex(said, r"(?m)^resuming %s/x from epoch \d+, step \d+$" % text(out))
                self.assertEqual(self.status(out + "/x"), "interrupted")
                where.add(self.where(out))
            self.finish(out)
            if attempt >= 1 and {"training", "validation"} <= where:
                return
        self.assertLessEqual({"training", "validation"}, where)

    def where(self, out):
        state = read_tensors(self.folder / out / "x/checkpoints/last.state.safetensors")[1]
        windows = json.loads((self.folder / out / "x/run.json").read_text())["data"]["windows_train"]
        if int(state["batch"]) == -(-windows // 3):
            return "validation"
        return "composing" if state["epoch"] == "4" else "training"

    def test_interrupted_while_composing(self):
        for attempt in range(24):  # composing takes a fraction of a second: the signal may come too late
            out = "composing %d" % attempt
            code, said = self.session(out, 0, signal.SIGTERM, until="epoch 4:")
            if code == RESUMABLE:
                break
        self.assertEqual(code, RESUMABLE, said)
        self.assertEqual(self.where(out), "composing")
        self.assertEqual(list((self.folder / out / "x/samples").iterdir()), [])
        self.assertIn("composed 2 pieces", self.finish(out))

    def test_what_is_there_composes(self):
        code, said = self.session("early", 0, signal.SIGINT, until="model ")
        self.assertEqual(code, RESUMABLE, said)
        command = re.search(r"poph generate (\S+) composes", said)[1]
        self.assertEqual(len(self.poph_json("generate", command, "--bars", "1")["pieces"]), 2)

    def test_killed_at_any_moment(self):
        kills = 0  # of runs that had a checkpoint
        for attempt in range(24):
            out = "killed %d" % attempt
            for _ in range(4):
                until = self.random.choice(("PopH ", "epoch "))  # before the first checkpoint and after it
                code, said = self.session(out, self.random.uniform(0, self.seconds / 3), signal.SIGKILL, until)
                if code == 0:  # too late
                    break
                self.assertEqual(code, -signal.SIGKILL, said)
                kills += (self.folder / out / "x/checkpoints/last.safetensors").exists()
            self.finish(out)
            if attempt and kills >= 3:
                return
        self.fail("%d kills in all" % kills)

    def test_killed_after_an_interruption_between_epochs(self):
        # The state of the last step of epoch 1 is saved, its validation is logged, then the power fails: no line may come twice.
        out, batch = "power", ["train.batch=1000"]  # each step is an epoch
        words = ["x.toml", "--out", out, *LONG, *batch]
        with self.start(RUN, *words) as process:
            for line in process.stdout:
                if line.startswith(b"model"):
                    break
            process.send_signal(signal.SIGINT)
            process.communicate()
        self.assertEqual(process.returncode, RESUMABLE)
        state = read_tensors(self.folder / out / "x/checkpoints/last.state.safetensors")[1]
        log = self.folder / out / "x/metrics.jsonl"
        with open(log, "a") as lines:
            lines.write(json.dumps({"epoch": int(state["epoch"]) + 1, "step": int(state["step"]), "split": "train", "time_s": 1}) + "\n{\"torn")
        self.run_ok(*words)
        self.run_ok("x.toml", "--out", "power steady", *LONG, *batch)
        self.assertEqual(metrics(self.folder / out / "x"), metrics(self.folder / "power steady/x"))

    def slow(self, *words):
        """A run whose steps take long: one that has come to its first step."""
        process = self.start(RUN, "x.toml", *words, "data.window=512", "data.windows=staggered", "data.stride=1", "train.batch=8", "data.lowest_note=36", "data.notes=48",
                             "model.blocks=[{kind='attention_time_notes',heads=2,head_dim=16}]")
        while b"heads" not in process.stdout.readline():
            self.assertIsNone(process.poll())
        time.sleep(0.5)
        return process

    def test_a_second_signal_leaves_at_once(self):
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)):
            with self.slow("--out", "twice", "--restart") as process:
                process.send_signal(first)
                time.sleep(0.2)
                self.assertIsNone(process.poll(), "the step was over too soon for this test")
                started = time.monotonic()
                process.send_signal(second)
                process.communicate(timeout=300)
                self.assertLess(time.monotonic() - started, 2)
            self.assertEqual(process.returncode, -second)

    def test_a_dry_run_has_nothing_to_save(self):
        with self.slow("--dry-run") as process:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=300)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_timeout_signals_twice(self):
        # `timeout` signals the program and then its group, the program again: that is one request.
        for _ in range(3):
            code, out, err = self.call("timeout", "-s", "INT", str(self.seconds + 1), RUN, "x.toml", "--out", "timeout", "--restart", *LONG, "train.epochs=1000",
                                       "train.patience=1000", start_new_session=True)
            self.assertEqual(code, 124, out + err)
            self.assertRegex(out, "interrupted: saved at step")

    def test_composing_can_be_stopped(self):
        self.write("kept/piece_1.mid", "mine")
        left = self.write("kept/piece_2.mid.tmp-1-0", "of a call that was killed")
        for out, has_begun, words in (("long", lambda: (self.folder / "long").exists(), ()),
                                      ("kept", lambda: not left.exists(), ("--scale", "C major", "--particles", "2"))):
            with self.start(POPH, "generate", "whole/x", "--bars", "4000", "--out", out, *words) as process:
                while not has_begun():
                    time.sleep(0.01)
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                said, err = process.communicate(timeout=300)
            self.assertEqual((process.returncode, err), (RESUMABLE, b""))
            self.assertEqual(said.decode().splitlines()[-1], "interrupted: no piece was written into " + out)
        self.assertFalse((self.folder / "long").exists())  # what is cut off is no piece
        self.assertEqual([path.name for path in (self.folder / "kept").iterdir()], ["piece_1.mid"])
