"""Runs and sweeps that were moved, renamed or copied, and what PopH composed where music is looked for."""
import json
import shutil

from support import EXPERIMENT, POPH, RUN, Case, contents, melody, metrics

SWEEP = 'extends = "x.toml"\n[sweep]\nseeds = [1, 2]\n[sweep.axes]\ntrain.batch = [4, 2]\n'
QUICK = EXPERIMENT.replace("epochs = 2", "epochs = 1")


class Project(Case):
    """A project folder p: an experiment with a prime and conditions and a sweep, and their music."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make("p")

    @classmethod
    def make(cls, name):
        shutil.copytree(cls.folder / "music", cls.folder / name / "music")
        cls.write(name + "/x.toml", QUICK + 'prime = "prime.mid"\nmelody = "tune.mid"\nkeep = "tune.mid"\nkeep_bars = "1"\nparticles = 2\n')
        cls.write(name + "/s.toml", SWEEP)
        cls.write(name + "/prime.mid", melody(8))
        cls.write(name + "/tune.mid", melody(12, 3))

    def sessions(self, folder):
        return {path.parent.name: json.loads(path.read_text())["sittings"] for path in (self.folder / folder).glob("*/run.json")}


class Moved(Project):
    def test_a_project(self):
        self.run_ok("x.toml", "--quiet", cwd=self.folder / "p")
        self.run_ok("s.toml", "--quiet", "--index", "1", cwd=self.folder / "p")
        self.run_ok("x.toml", "--quiet", "--out", "../far", cwd=self.folder / "p")
        config = (self.folder / "p/runs/x/config.toml").read_text()
        self.assertIn('\nsource = "../../music"\n', config)
        for line in ('prime = "../../prime.mid"', 'melody = "../../tune.mid"', 'bass = ""', 'keep = "../../tune.mid"'):
            self.assertIn("\n%s\n" % line, config)
        (self.folder / "mounted/here").mkdir(parents=True)
        (self.folder / "p").rename(self.folder / "mounted/here/q")
        moved = {"cwd": self.folder / "mounted/here/q"}

        before = contents(self.folder / "mounted/here/q/runs/x")
        for file in ("x.toml", "runs/x/config.toml"):
            self.assertRegex(self.run_ok(file, **moved), r"\Aruns/x is finished already[^\n]*\n\Z")
        self.assert_untouched(self.folder / "mounted/here/q/runs/x", before)
        self.assertEqual(self.poph_json("evaluate", "runs/x", **moved)["split"], "valid")
        self.assertEqual(self.poph_json("evaluate", "runs/x/checkpoints/best.safetensors", **moved)["split"], "valid")
        self.assertIn("condition", self.poph_json("generate", "runs/x", "--bars", "1", **moved)["pieces"][0])  # with its prime and its tune
        self.assertRegex(self.run_ok("runs/s/sweep.toml", **moved), r"; 1 of 4 finished")
        self.assertRegex(self.run_ok("s.toml", **moved), r"; 4 of 4 finished")
        self.assertEqual(list(self.sessions("mounted/here/q/runs/s").values()), [1] * 4)
        self.assertRegex(self.run_ok("x.toml", "train.epochs=2", **moved), r"(?m)^resuming runs/x from epoch 2, step \d+$")

        # Runs that lie elsewhere: the music is known by its fingerprint.
        log = "log.txt", "run.lock", "config.toml"
        far = contents(self.folder / "far/x", but=log)
        said = self.run_ok("x.toml", "--out", self.folder / "far", **moved)
        self.assertRegex(said, r"far/x is finished already")
        self.assertNotRegex(said, "epoch|composed")
        self.assert_untouched(self.folder / "far/x", far, but=log)
        # So is the tune, whatever its name: another one is another condition.
        for start, name, line in ((3, "a.mid", "far/x is finished already"), (4, "b.mid", "^composed 1 pieces of 1 bars")):
            self.write("mounted/here/q/" + name, melody(12, start))
            said = self.run_ok("x.toml", "--out", self.folder / "far", "generate.melody=" + name, "generate.keep=" + name, **moved)
            self.assertRegex(said, "(?m)" + line)
            self.assertNotIn("epoch 1:", said)
        self.assertEqual(self.poph_json("evaluate", self.folder / "far/x")["split"], "valid")
        self.write("mounted/here/q/music/more.mid", melody(60, 5))
        self.refused(RUN, "x.toml", "train.epochs=3", **moved, message=r"runs/x was started with other data \(fingerprint \w+, now \w+\); name=OTHER")


class Renamed(Project):
    def test_a_run(self):
        here = {"cwd": self.folder / "p"}
        self.run_ok("x.toml", "--quiet", **here)
        (self.folder / "p/runs/x").rename(self.folder / "p/runs/y")
        self.assertIn("runs/y is finished already", self.run_ok("x.toml", "name=y", **here))
        self.assertRegex(self.run_ok("x.toml", "name=y", "train.epochs=2", **here), r"(?m)^resuming runs/y from epoch 2")
        self.assertIn('name = "y"\n', (self.folder / "p/runs/y/config.toml").read_text())
        said = self.run_ok("x.toml", "train.epochs=2", **here)
        self.assertRegex(said, r"\Aruns/y holds a run with these settings and this seed \(finished after 2 epochs\): name=y goes on with it, and this begins a new one\n")
        self.assertEqual(metrics(self.folder / "p/runs/x"), metrics(self.folder / "p/runs/y"))
        # Of an earlier version: with absolute paths.
        config = self.folder / "p/runs/x/config.toml"
        config.write_text(config.read_text().replace('"../../', '"%s/' % (self.folder / "p")))
        self.assertIn("runs/x is finished already", self.run_ok("x.toml", "train.epochs=2", **here))
        self.assertIn("resuming runs/x from epoch 3", self.run_ok("x.toml", "train.epochs=3", **here))
        # Two runs of one seed, and one of another.
        self.run_ok("x.toml", "train.epochs=3", "--restart", "--quiet", **here)
        self.run_ok("x.toml", "train.epochs=3", "name=z", "seed=8", "--quiet", **here)
        shutil.copytree(self.folder / "p/runs/z", self.folder / "p/runs/z copy")
        out = self.poph_ok("compare", "runs", **here)
        self.assertRegex(out, r"\Aleft out: runs/x\.1 \(moved aside by --restart\), runs/z copy \(the same as runs/z\)\n")
        self.assertRegex(out, r"(?m)^Runs +2 +1$")
        self.assertRegex(self.poph_ok("report", "runs", **here), r"\Aleft out: runs/x\.1 .*\nruns/report\.html\n\Z")


class Refused(Case):
    def test_a_schedule_that_would_be_another(self):
        self.run_ok("x.toml", "--quiet", "train.schedule=cosine")
        before = contents(self.folder / "runs/x", but=("log.txt", "run.lock"))
        out = self.refused(RUN, "x.toml", "train.schedule=cosine", "train.epochs=3",
                           message=r'runs/x was started with other settings; train\.epochs: was 2, now 3; the learning rates of '
                                   r'train\.schedule = "cosine" depend on train\.epochs; name=OTHER begins a run of its own')
        self.assertNotIn("data:", out)
        self.assert_untouched(self.folder / "runs/x", before, but=("log.txt", "run.lock"))

    def test_nothing_held_out(self):
        line = '\n      nothing is held out: train.monitor = "validation_loss" watches the training loss instead\n'
        self.assertIn(line, self.run_ok("x.toml", "--dry-run", "data.split=0"))
        self.assertNotIn(line, self.run_ok("x.toml", "--dry-run", "data.split=0", "train.monitor=train_loss"))
        self.assertNotIn(line, self.run_ok("x.toml", "--dry-run"))


class Composed(Case):
    def test_is_not_read_as_music(self):
        self.write("here.toml", QUICK.replace('"music"', '"."'))
        self.run_ok("here.toml", "--quiet")
        data = json.loads((self.folder / "runs/here/run.json").read_text())["data"]
        for _ in range(2):
            self.poph_ok("generate", "runs/here", "--bars", "1")
        self.assertEqual(sorted(path.name for path in (self.folder / "composed").iterdir()), ["piece_%d.%s" % (i, end) for i in (1, 2) for end in ("mid", "svg")])
        shutil.copy(self.folder / "composed/piece_1.mid", self.folder / "mine.mid")
        out = self.run_ok("here.toml", "train.epochs=2")
        self.assertIn("3 pieces to train on, 1 held out", out)
        self.assertRegex(out, r"(?m)^ +left out, because PopH composed it: 1 folder of a run, \S.*/runs/here, and 3 files, such as \S.*/composed/piece_1\.mid$")
        again = json.loads((self.folder / "runs/here/run.json").read_text())["data"]
        self.assertEqual((again["fingerprint"], again["files"]), (data["fingerprint"], 4))
        self.refused(POPH, "data", "composed", message="found no music; left out, because PopH composed it: 2 files, such as .*a file that is named itself is read")
        self.assertEqual(self.poph_json("data", "composed/piece_1.mid", "data.lowest_note=60", "data.notes=12")["files"], 1)
        found = self.poph_json("data", ".", "data.lowest_note=60", "data.notes=12")
        self.assertEqual((found["files"], found["left_out"]), (4, 3))
