"""The files of a run, and the same command a second time."""
import json
import re
import signal
import time
import tomllib

from support import POPH, RESUMABLE, RUN, Case, contents, melody, metrics, outcome, read_tensors

DIVERGING = ("train.optimizer=sgd", "train.learning_rate=1e30")


class Folder(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, _, err = cls.call(RUN, "x.toml", "--threads", "1")
        assert code == 0, err
        cls.run_folder = cls.folder / "runs/x"

    def test_files(self):
        found = {str(path.relative_to(self.run_folder)) for path in self.run_folder.rglob("*") if path.is_file()}
        for name in ("config.toml", "run.json", "metrics.jsonl", "log.txt", "checkpoints/best.safetensors", "checkpoints/best.state.safetensors",
                     "checkpoints/last.safetensors", "checkpoints/last.state.safetensors", "samples/piece_1.mid"):
            self.assertIn(name, found)
        self.assertEqual([name for name in found if ".tmp" in name or "unfinished" in name], [])

    def test_config(self):
        text = (self.run_folder / "config.toml").read_text()
        config = tomllib.loads(text)
        self.assertEqual((config["name"], config["seed"], config["train"]["batch"], config["generate"]["tempo"]), ("x", 3, 4, 120.0))
        self.assertEqual(config["data"]["source"], "../../music")
        shown = self.run_ok("runs/x/config.toml", "--print-config")
        self.assertEqual(re.sub(r" *#.*", "", shown).replace(str(self.folder), "../..").split(), text.split())
        self.assertIn("finished already", self.run_ok("runs/x/config.toml"))

    def test_run(self):
        run = json.loads((self.run_folder / "run.json").read_text())
        self.assertEqual((run["status"], run["name"], run["seed"], run["threads"], run["sittings"], run["epochs"]), ("finished", "x", 3, 1, 1, 2))
        self.assertRegex(run["version"], r"^\d+\.\d+\.\d+$")
        self.assertTrue(run["revision"])
        self.assertTrue(run["device"])
        self.assertRegex(run["data"]["fingerprint"], r"^[0-9a-f]{16}$")
        self.assertNotIn("windows_train", run["data"])  # lanes have none
        self.assertRegex(run["command_line"], r"run_experiment x\.toml --threads 1$")
        for moment in ("started", "updated"):
            self.assertRegex(run[moment], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertGreater(run["training_seconds"], 0)
        self.assertEqual(run["samples"], ["runs/x/samples/piece_1.mid"])
        self.assertEqual(set(run["music"]), {"corpus", "before_training", "after_training"})

    def test_likelihood(self):
        run = json.loads((self.run_folder / "run.json").read_text())
        self.assertEqual(set(run["log_likelihood"]), {"valid"})
        valid = run["log_likelihood"]["valid"]
        self.assertEqual((valid.pop("pieces"), valid.pop("pieces_left_out")), (1, 0))
        self.assertEqual(valid, self.poph_json("evaluate", "runs/x", "--split", "valid", "--threads", "1")["log_likelihood"])
        self.assertRegex((self.run_folder / "log.txt").read_text(), r"(?m)^log-likelihood of 1 held-out piece: %.3f nats a step" % valid["nats_per_step"])

    def test_measures(self):
        measures = json.loads((self.run_folder / "run.json").read_text())["measures"]
        self.assertEqual(set(measures), {"samples", "pieces", "train", "valid", "overlap", "copied"})
        self.assertEqual([measures[split]["pieces"] for split in ("samples", "train", "valid")], [1, 3, 1])
        piece, = measures["pieces"]
        self.assertEqual(piece["file"], "samples/piece_1.mid")
        self.assertEqual({name: x for name, x in piece.items() if name not in ("file", "copied")},
                         {name: x for name, x in measures["samples"].items() if name not in ("pieces", "repeats")})  # the mean of one
        self.assertAlmostEqual(sum(measures["train"]["repeats"].values()), 1)
        notes = self.poph_json("inspect", "runs/x/samples/piece_1.mid", "data.lowest_note=60", "data.notes=12")["note_ons"]
        self.assertEqual(piece["notes"], notes)
        self.assertEqual(set(piece["keys"]), {"krumhansl", "temperley", "aarden", "bellman", "simple"})
        self.assertEqual((measures["overlap"]["samples"], measures["overlap"]["excerpt_steps"]), (1, 16))
        self.assertRegex((self.run_folder / "log.txt").read_text(), r"(?m)^copies: the longest run shared with a training piece is %d steps" % measures["copied"]["longest"])

    def test_no_likelihood_of_what_sees_the_answer(self):
        leaky = "model.blocks=[{kind='lstm_time',layers=1,units=4},{kind='lstm_notes',layers=1,units=4},{kind='attention_notes',heads=1,head_dim=2,mask='none'}]"
        out = self.run_ok("x.toml", "name=leaky", leaky)
        run = json.loads((self.folder / "runs/leaky/run.json").read_text())
        self.assertNotIn("log_likelihood", run)
        self.assertIn("measures", run)
        self.assertNotIn("log-likelihood", out)

    def test_metrics(self):
        lines = metrics(self.run_folder)
        self.assertEqual([(line["epoch"], line["split"]) for line in lines], [(1, "train"), (1, "valid"), (2, "train"), (2, "valid")])
        for line in lines:
            self.assertLessEqual({"step", "play", "replay", "volume", "harmony", "total"}, set(line))
            self.assertEqual("learning_rate" in line, line["split"] == "train")
            self.assertAlmostEqual(line["total"], line["play"] + line["replay"] + line["volume"] + 0.1 * line["harmony"], places=5)
        self.assertLess(lines[2]["total"], lines[0]["total"])

    def test_log(self):
        log = (self.run_folder / "log.txt").read_text()
        for part in ("PopH ", "data: ", "epoch 1: ", "epoch 2: ", "composed 1 pieces", "finished in "):
            self.assertIn(part, log)

    def test_checkpoints(self):
        for name in ("best", "last"):
            weights, about = read_tensors(self.run_folder / ("checkpoints/%s.safetensors" % name))
            state, more = read_tensors(self.run_folder / ("checkpoints/%s.state.safetensors" % name))
            self.assertEqual(about["save_id"], more["save_id"])
            self.assertEqual(tomllib.loads(about["config"])["name"], "x")
            self.assertEqual({"moment." + key for key in weights}, {key for key in state if key.startswith("moment.")})

    def test_samples(self):
        found = self.poph_json("inspect", "runs/x/samples/piece_1.mid", "data.lowest_note=60", "data.notes=12")
        self.assertEqual(found["dropped_notes"], 0)


class Again(Case):
    def test_finished_is_left_alone(self):
        self.run_ok("x.toml")
        before = contents(self.folder / "runs/x")
        out = self.run_ok("x.toml")
        self.assertRegex(out, r"\Aruns/x is finished already.*--restart.*poph generate runs/x\n\Z")
        self.assert_untouched(self.folder / "runs/x", before)

    def test_changed_settings_are_refused(self):
        self.run_ok("x.toml", "name=y")
        before = contents(self.folder / "runs/y", but=("log.txt", "run.lock"))
        self.refused(RUN, "x.toml", "name=y", "train.batch=2", "model.dropout=0.25", "train.epochs=9",
                     message=r"runs/y was started with other settings.*model\.dropout: was 0\.5, now 0\.25; train\.batch: was 4, now 2; name=OTHER begins a run of its own beside it")
        self.refused(RUN, "x.toml", "name=y", "model.blocks=[{kind='lstm_time'}]", message=r"started with other settings.*model\.blocks: was ")
        self.write("music/more.mid", (self.folder / "music/0.mid").read_bytes() + b"\0")
        self.refused(RUN, "x.toml", "name=y", "train.epochs=9", message=r"runs/y was started with other data \(fingerprint [0-9a-f]{16}, now [0-9a-f]{16}\); name=OTHER")
        (self.folder / "music/more.mid").unlink()
        self.assert_untouched(self.folder / "runs/y", before, but=("log.txt", "run.lock"))

    def test_settings_are_refused_before_the_music_is_read(self):
        self.run_ok("x.toml", "name=w")
        before = contents(self.folder / "runs/w", but=("log.txt", "run.lock"))
        for change in (["train.batch=2"], ["train.epochs=1"], ["train.patience=1"]):
            out = self.refused(RUN, "x.toml", "name=w", *change, message="started with other settings; %s: was " % change[0].split("=")[0])
            self.assertNotIn("data:", out)
        self.assert_untouched(self.folder / "runs/w", before, but=("log.txt", "run.lock"))

    def test_a_prime_that_cannot_be_read_is_refused_before_training(self):
        for more in ([], ["--dry-run"], ["--smoke"]):
            out = self.refused(RUN, "x.toml", "name=prime", "generate.prime=gone.mid", *more, message=r"generate\.prime: .*gone\.mid: .*No such file")
            self.assertNotIn("data:", out)

    def test_conditions_are_read_before_training(self):
        self.write("tune.mid", melody(40))
        for words, message in ((["generate.melody=gone.mid"], r"generate\.melody: .*gone\.mid: .*No such file"),
                               (["generate.bass=tune.mid", "generate.scale=C"], r"generate\.bass: bar 1: .* is not in the scale C$"),
                               (["generate.keep=tune.mid", 'generate.keep_bars="3"', "generate.bars=2"], r"generate\.keep_bars: bar 3 is beyond the 2 bars that are composed$"),
                               (["generate.particles=8"], r"command line: generate\.particles: changes nothing here: only a condition, such as generate\.scale, uses it$")):
            for more in ([], ["--dry-run"], ["--smoke"]):
                self.assertNotIn("data:", self.refused(RUN, "x.toml", "name=asked", *words, *more, message=message))
        # A smoke test composes one bar, or as many as are kept.
        self.run_ok("x.toml", "name=asked", "--smoke", "generate.keep=tune.mid", "generate.keep_bars=1-2", "generate.bars=3", "generate.particles=2")
        self.assertIn('bars 1-2 of tune.mid', (self.folder / "runs/asked-smoke/run.json").read_text())

    def test_more_epochs_and_patience(self):
        self.run_ok("x.toml", "name=z")
        self.run_ok("x.toml", "name=z", "--out", "at once", "train.epochs=4", "train.patience=6")
        out = self.run_ok("x.toml", "name=z", "train.epochs=4", "train.patience=6")
        self.assertRegex(out, r"(?m)^resuming runs/z from epoch 3, step \d+$")
        self.assertEqual(metrics(self.folder / "runs/z"), metrics(self.folder / "at once/z"))
        self.assert_same_outcome(outcome(self.folder / "runs/z"), outcome(self.folder / "at once/z"))
        self.assertEqual(json.loads((self.folder / "runs/z/run.json").read_text())["sittings"], 2)

    def test_other_samples_for_a_finished_run(self):
        self.run_ok("x.toml", "name=s")
        before = (self.folder / "runs/s/checkpoints/last.safetensors").read_bytes()
        self.run_ok("x.toml", "name=s", "generate.pieces=2", "generate.bars=2")
        self.assertTrue((self.folder / "runs/s/samples/piece_2.mid").exists())
        self.assertEqual((self.folder / "runs/s/checkpoints/last.safetensors").read_bytes(), before)

    def test_restart_moves_the_old_run_aside(self):
        self.run_ok("x.toml", "name=r", "train.epochs=1")
        first = contents(self.folder / "runs/r", but=("run.lock",))
        self.assertIn("the old run is now runs/r.1\n", self.run_ok("x.toml", "name=r", "--restart", "train.batch=2"))
        self.assertIn("the old run is now runs/r.2\n", self.run_ok("x.toml", "name=r", "--restart", "train.epochs=1"))
        self.assert_untouched(self.folder / "runs/r.1", first, but=("run.lock",))
        fresh = contents(self.folder / "runs/r")
        for name in ("metrics.jsonl", "checkpoints/best.state.safetensors", "samples/piece_1.mid"):
            self.assertEqual(re.sub(rb'"time_s":[^,}]*', b"", fresh[name][0]), re.sub(rb'"time_s":[^,}]*', b"", first[name][0]))
        self.run_ok("x.toml", "name=fresh", "--restart", "train.epochs=1")  # without an old run it is no mistake

    def test_a_run_json_that_was_damaged(self):
        self.run_ok("x.toml", "name=j", "train.epochs=1")
        self.write("runs/j/run.json", "{")
        self.refused(RUN, "x.toml", "name=j", "train.epochs=2", message=r"runs/j/run\.json: not a JSON object")
        self.write("runs/j/config.toml", "[data\n")
        self.write("runs/j/run.json", "{}")
        self.refused(RUN, "x.toml", "name=j", message=r"runs/j/config\.toml:1")


class Diverging(Case):
    def test_at_once(self):
        self.refused(RUN, "x.toml", "--quiet", "train.batch=1", *DIVERGING,
                     message=r"training diverged: the \w+ loss of step 2 \(epoch 1\) is not a finite number; .*; before it the gradient norm was .*; there was no checkpoint to keep yet; .*learning_rate")
        self.assertEqual(self.status("runs/x"), "diverged")
        self.refused(POPH, "generate", "runs/x", message="no checkpoint")

    def test_later(self):
        self.run_ok("x.toml", "name=good", "train.epochs=2", "train.learning_rate=0.01")
        good = contents(self.folder / "runs/good/checkpoints")
        # The same run resumed at a rate that makes it diverge.
        for name in ("config.toml",):
            path = self.folder / "runs/good" / name
            path.write_text(re.sub("\nlearning_rate = .*", "\nlearning_rate = 1e30", path.read_text()))
        self.refused(RUN, "x.toml", "name=good", "--quiet", "train.epochs=9", "train.learning_rate=1e30",
                     message=r"training diverged: .* step \d+.*; the last good checkpoint is kept: \S*poph generate runs/good composes with it")
        self.assertEqual(self.status("runs/good"), "diverged")
        self.assert_untouched(self.folder / "runs/good/checkpoints", good)
        self.assertRegex((self.folder / "runs/good/log.txt").read_text(), r"training diverged: .*\n\Z")
        self.poph_ok("generate", "runs/good", "--bars", "1")

    def test_weights_after_the_last_step_of_an_epoch(self):
        self.refused(RUN, "x.toml", "name=end", "--quiet", "train.batch=1000", *DIVERGING, message=r"training diverged: .* after step 1\b")
        self.assertEqual(self.status("runs/end"), "diverged")


class Same(Case):
    def test_seeds_and_threads(self):
        for out, words in (("one", ["--threads", "1"]), ("again", ["--threads", "1"]), ("two", ["--threads", "2"]), ("three", ["--threads", "3"])):
            self.run_ok("x.toml", "--quiet", "--out", out, "data.transpose=2", *words)
        one = outcome(self.folder / "one/x")
        for out in ("again", "two", "three"):
            self.assert_same_outcome(outcome(self.folder / out / "x"), one)
        self.run_ok("x.toml", "--quiet", "--out", "other", "data.transpose=2", "seed=4")
        other = outcome(self.folder / "other/x")
        for name in ("last", "best", "metrics", "piece_1.mid"):
            self.assertNotEqual(other[name], one[name], name)

    def test_every_block_with_two_threads(self):
        blocks = "model.blocks=[{kind='attention_time_notes',heads=2,head_dim=3},{kind='lstm_time',layers=2,units=5},{kind='lstm_notes',layers=2,units=3},{kind='attention_notes',heads=2,head_dim=2,query_gate=true}]"
        for threads in "12":
            self.run_ok("x.toml", "--quiet", "--out", threads, "--threads", threads, "train.clip_norm=1", "train.schedule=cosine", blocks)
        self.assert_same_outcome(outcome(self.folder / "1/x"), outcome(self.folder / "2/x"))


class Recipe(Case):
    """All keys of a training's recipe at once, from the weights of another run."""
    WORDS = ("x.toml", "name=more", "--threads", "1", "train.start_from=first/x", "train.optimizer=adamw", "train.weight_decay=0.1", "train.schedule=cosine",
             "train.warmup_steps=5", "train.final_learning_rate=0.1", "train.average=0.9", "train.patience=0", "train.epochs=4", "data.transpose=1")

    def test_stopped_and_resumed(self):
        self.run_ok("x.toml", "--quiet", "--out", "first", "train.epochs=1")
        best = str(self.folder / "first/x/checkpoints/best.safetensors")
        out = self.run_ok("--out", "whole", *self.WORDS)
        self.assertIn("\nthe weights begin as those of %s, whose experiment differs:\n  data.transpose: was 0, now 1\n" % best, out)
        with self.start(RUN, *self.WORDS) as process:
            for line in process.stdout:
                if line.startswith(b"epoch 1:"):
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=300)
        self.assertEqual((process.returncode, err), (RESUMABLE, b""), out)
        (self.folder / "first").rename(self.folder / "moved")
        out = self.run_ok(*self.WORDS)
        self.assertRegex(out, r"(?m)^resuming runs/more from epoch \d, step \d+$")
        self.assertNotIn("weights begin", out)
        self.assert_same_outcome(outcome(self.folder / "runs/more"), outcome(self.folder / "whole/more"))
        for name in ("best", "last"):
            mean = read_tensors(self.folder / ("runs/more/checkpoints/%s.safetensors" % name))[0]
            state = read_tensors(self.folder / ("runs/more/checkpoints/%s.state.safetensors" % name))[0]
            self.assertEqual({key for key in state if key.startswith("weight.")}, {"weight." + key for key in mean})
            self.assertNotEqual(state["weight.note_head.weight"], mean["note_head.weight"])
        run = json.loads((self.folder / "runs/more/run.json").read_text())
        self.assertEqual(run["log_likelihood"]["valid"]["nats_per_step"],
                         self.poph_json("evaluate", "runs/more", "--threads", "1")["log_likelihood"]["nats_per_step"])
        self.assertEqual(len(self.poph_json("generate", "runs/more", "--bars", "1")["pieces"]), 1)
        # Known by their contents, wherever they lie.
        self.assertIn("runs/more is finished already", self.run_ok(*self.WORDS, "train.start_from=moved/x"))
        self.refused(RUN, *self.WORDS, "train.start_from=whole/more", message=r"runs/more was started from other weights \(fingerprint %s, now \w+\); name=OTHER" % run["start_from"])

    def test_refused_before_the_music_is_read(self):
        out = self.refused(RUN, "x.toml", "name=gone", "train.start_from=gone", message=r"train\.start_from: .*gone: No such file")
        self.assertNotIn("data:", out)
        self.refused(RUN, "x.toml", "train.weight_decay=0.1", message=r"train\.weight_decay: changes nothing here")


class Precision(Case):
    def test_bf16(self):
        self.run_ok("x.toml", "--device", "cpu", "name=wide")
        out = self.run_ok("x.toml", "--device", "cpu", "train.precision=bf16")
        self.assertRegex(out, r"(?m)^precision: trains in bf16; weights, sums, .* are float32\. On a CPU this is slower")
        for name in ("best.safetensors", "best.state.safetensors"):
            self.assertEqual({dtype for dtype, _, _ in read_tensors(self.folder / "runs/x/checkpoints" / name)[0].values()}, {"F32"})
        validated = min(line["total"] for line in metrics(self.folder / "runs/x") if line["split"] == "valid")
        evaluated = self.poph_json("evaluate", "runs/x", "--device", "cpu")["loss"]["total"]  # in float32
        self.assertAlmostEqual(evaluated, validated, delta=1e-9)
        self.assertNotEqual((self.folder / "runs/x/checkpoints/best.safetensors").read_bytes(),
                            (self.folder / "runs/wide/checkpoints/best.safetensors").read_bytes())

    def test_tf32(self):
        self.run_ok("x.toml", "--device", "cpu", "name=wide")
        self.assertIn("\ntf32 on cpu: computed in float32\n", self.run_ok("x.toml", "--device", "cpu", "name=tf32", "train.precision=tf32"))
        self.assertEqual(metrics(self.folder / "runs/tf32"), metrics(self.folder / "runs/wide"))


class Slow(Case):
    """Started and stopped before the other tests, so that its time passes while they run."""

    @classmethod
    def setUpClass(cls):
        pass  # begin() did it

    @classmethod
    def begin(cls):
        super().setUpClass()
        cls.process = cls.start(RUN, "x.toml", "train.epochs=100000", "train.patience=100000")
        while (line := cls.process.stdout.readline()) and not line.startswith(b"epoch 1:"):
            pass
        cls.process.send_signal(signal.SIGSTOP)
        cls.stopped = time.monotonic()

    @classmethod
    def end(cls):
        cls.process.kill()
        cls.process.communicate()

    def test_a_plain_line_every_ten_seconds(self):
        time.sleep(max(0, 10.1 - (time.monotonic() - self.stopped)))
        self.process.send_signal(signal.SIGCONT)
        for _ in range(100):
            shown = self.process.stdout.readline().decode()
            if " step " in shown:
                break
        self.assertRegex(shown, r"\Aepoch \d+/100000  step \d+/\d+  loss .* steps/s  .* left\n\Z")


setUpModule, tearDownModule = Slow.begin, Slow.end
