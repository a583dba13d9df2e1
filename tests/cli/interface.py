"""Options, what is printed and where things go."""
import json
import re

from support import EXPERIMENT, POPH, RUN, SOURCE, Case, contents

SHIPPED = sorted(path for path in (SOURCE / "experiments").glob("*.toml"))
TINY = ("data.window=16", "data.lowest_note=60", "data.notes=8", "model.octave_units=2", "train.epochs=1", "train.batch=64",
        "generate.pieces=1", "generate.bars=1")


def shrunk(blocks):
    """An override with the kinds of a resolved `blocks = [..]` and small sizes."""
    small = re.sub(r"(units|layers|heads|head_dim) = \d+", lambda found: "%s = %d" % (found[1], found[1] in ("units", "head_dim") or 1), blocks)
    return "model.blocks=" + re.sub(r"(units|head_dim) = 1\b", r"\1 = 4", small.replace("\n", " "))


class Interface(Case):
    def test_help_and_version(self):
        for program in (RUN, POPH):
            self.assertRegex(self.call(program, "--version")[1], r"\A\d+\.\d+\.\d+ \(\S+\)\n\Z")
            code, out, err = self.call(program, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertIn("--version", out)
        for option in ("--out", "--threads", "--device", "--print-config", "--dry-run", "--smoke", "--restart", "--quiet", "--jobs", "--list", "--index", "--retry-failed", "POPH_RUNS"):
            self.assertIn(option, self.call(RUN, "--help")[1])
        for command in ("inspect", "data", "evaluate", "generate"):
            self.assertIn("--json", self.call(POPH, command, "--help")[1])

    def test_print_config(self):
        out = self.run_ok("x.toml", "--print-config", "train.epochs=7", "--out", "never")
        self.assertRegex(out, r"(?m)^epochs = 7 +# command line$")
        self.assertRegex(out, r"(?m)^batch = 4 +# x\.toml:%d$" % (1 + EXPERIMENT[:EXPERIMENT.index("batch")].count("\n")))
        self.assertRegex(out, r"(?m)^tempo = 120\.0 +# default$")
        self.assertFalse((self.folder / "never").exists())

    def test_dry_run(self):
        out = self.run_ok("x.toml", "--dry-run", "--out", "never")
        for pattern in (r"3 pieces to train on, 1 held out", r"attention_notes 1 x 2", r"lstm_time 1 x 4", r"\[4, 16, 12, \d+\]", r"\d+ parameters",
                        r"memory: \d", r"time: [\d.]+ s a step"):
            self.assertRegex(out, pattern)
        self.assertFalse((self.folder / "never").exists())

    def test_smoke(self):
        self.run_ok("x.toml", "name=real", "train.epochs=1")
        before = contents(self.folder / "runs/real")
        for _ in range(2):
            self.assertIn("runs/real-smoke", self.run_ok("x.toml", "name=real", "--smoke"))
            self.assertEqual(json.loads((self.folder / "runs/real-smoke/run.json").read_text())["steps"], 3)
            self.assertTrue((self.folder / "runs/real-smoke/samples/piece_1.mid").exists())
        self.assert_untouched(self.folder / "runs/real", before)

    def test_quiet(self):
        self.assertEqual(self.run_ok("x.toml", "name=quiet", "--quiet"), "")
        self.assertIn("epoch 2: train loss", (self.folder / "runs/quiet/log.txt").read_text())
        self.assertEqual(self.run_ok("x.toml", "name=quiet", "--quiet"), "")

    def test_where_runs_go(self):
        self.run_ok("x.toml", "train.epochs=1", "--quiet", "--out", "elsewhere/deep")
        self.run_ok("x.toml", "train.epochs=1", "--quiet", environment={"POPH_RUNS": "by variable"})
        self.run_ok("x.toml", "train.epochs=1", "--quiet", "name=plain", environment={"POPH_RUNS": ""})
        for run in ("elsewhere/deep/x", "by variable/x", "runs/plain"):
            self.assertEqual(self.status(run), "finished")

    def test_from_another_folder(self):
        self.write("sub ü/place/inner.toml", 'extends = "../../x.toml"\ntrain.epochs = 1\n')
        (self.folder / "afar").mkdir()
        self.run_ok("../sub ü/place/inner.toml", "--quiet", cwd=self.folder / "afar")  # data.source is x.toml's
        self.assertEqual(self.status("afar/runs/inner"), "finished")
        found = self.poph_json("evaluate", "../afar/runs/inner", cwd=self.folder / "music")
        self.assertEqual(found["split"], "valid")
        # An override's path is of the working folder.
        self.run_ok("../x.toml", "name=local", "train.epochs=1", "data.source=.", "--quiet", cwd=self.folder / "music")

    def test_the_bundled_corpus(self):
        out = self.run_ok("x.toml", "data.source=bundled", "train.batch=1", "--dry-run")
        self.assertRegex(out, r"data: bundled: \d\d pieces to train on")
        self.refused(RUN, "x.toml", "data.source=bundled", "--dry-run", environment={"POPH_CORPUS": "/nowhere"}, message="/nowhere: no such")

    def test_a_gpu_that_is_not_there(self):
        code, _, err = self.call(RUN, "x.toml", "--device", "cuda", "name=gpu", "--dry-run")
        if code == 0:
            self.skipTest("there is a GPU")
        self.refused(RUN, "x.toml", "--device", "cuda", "name=gpu", message="--device cuda: (this build has no CUDA|no usable GPU was found); use --device cpu")
        self.refused(POPH, "generate", "runs/gpu", "--device", "cuda", message="--device cuda: ")
        self.assertFalse((self.folder / "runs/gpu").exists())

    def test_a_terminal_gets_one_line_redrawn(self):
        shown = self.on_terminal(RUN, "x.toml", "name=live", "data.windows=staggered", "data.stride=2", "train.batch=1", "train.epochs=40", "train.patience=40")
        live = re.findall(rb"\repoch \d+/40  window \d+/\d+  loss [\d.]+ \(play [\d.]+, replay [^\r\n\033]*\033\[K", shown)
        self.assertGreater(len(live), 2, shown)
        # A line that stays clears the live one first, whichever epoch was slow enough to have one.
        self.assertRegex(shown, rb"\033\[K\r\033\[Kepoch \d+: train loss")
        for drawn in live:  # never wider than the terminal, or it would not be one line
            self.assertLess(len(drawn.strip(b"\r").replace(b"\033[K", b"")), 80)

    def test_a_pipe_gets_plain_lines(self):
        out = self.run_ok("x.toml", "name=piped")
        self.assertNotIn("\r", out)
        self.assertNotIn("\033", out)
        for pattern in ("^PopH ", "^data: ", "^model x?", "^epoch 1: train loss [\\d.]+ \\(play .*; validation loss", "^composed 1 pieces", "^finished in .*runs/piped$"):
            self.assertRegex(out, "(?m)" + pattern)

    def test_a_reader_that_leaves(self):
        with self.start(RUN, "x.toml", "name=headless", "train.epochs=8") as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(timeout=300), 0)
        self.assertEqual(self.status("runs/headless"), "finished")


class Shipped(Case):
    def test_every_file_says_what_it_is(self):
        self.assertGreaterEqual(len(SHIPPED), 12)
        for path in SHIPPED:
            with self.subTest(path.name):
                if path.name == "base.toml":
                    self.run_ok(path, "--print-config")
                    continue
                self.assertIn("blocks = [", self.run_ok(path, "--print-config"))

    def test_each_ordering_trains(self):
        orderings = set()
        for path in SHIPPED:
            shown = self.run_ok(path, "--print-config")
            blocks = re.sub(r" *#.*", "", shown[shown.index("blocks = ["):shown.index("\n]", shown.index("blocks = ["))] + "\n]")
            if path.name.startswith("harmony") or path.name == "base.toml" and blocks in orderings:
                continue
            with self.subTest(path.name):
                orderings.add(blocks)
                music = "model.styles=[{ name = 'a', source = 'music/0.mid' }, { name = 'b', source = 'music' }]" if path.name == "styles.toml" else "data.source=music"
                self.run_ok(path, "--quiet", *TINY, music, shrunk(blocks[len("blocks = "):]))
                self.assertEqual(self.status("runs/" + path.stem), "finished")
        self.assertGreaterEqual(len(orderings), 6)

    def test_each_harmony_variant_trains(self):
        for path in SHIPPED:
            if path.name.startswith("harmony"):
                with self.subTest(path.name):
                    self.run_ok(path, "--quiet", *TINY, "model.blocks=[{kind='lstm_time',layers=1,units=4}]", "data.source=music")
