"""Styles, end to end: an experiment of two of them, what is said of it, and all that it refuses."""
import json
import os
import re
import shutil

from support import POPH, RUN, Case, melody, midi_bytes, read_tensors

BLOCKS = 'model.blocks=[{ kind = "lstm_time", layers = 1, units = 4 }, { kind = "lstm_notes", layers = 1, units = 4 }]'
STYLES = """
styles = [{ name = "up", source = "music" }, { name = "down", source = ["more/9.mid", "more"] }]
style_units = 3
"""


class Styles(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for i in range(4):
            cls.write("more/%d.mid" % (9 - i), melody(40 + 8 * i, 20 + i))
        experiment = cls.experiment.read_text()
        cls.write("styles.toml", experiment.replace("[train]", STYLES + "[train]"))
        code, cls.out, err = cls.call(RUN, "styles.toml")
        assert (code, err) == (0, ""), err

    def record(self, run="styles"):
        return json.loads((self.folder / "runs" / run / "run.json").read_text())

    def test_a_run_says_what_it_knows_of_its_styles(self):
        self.assertIn("data: styles up, down: 6 pieces to train on, 2 held out", self.out)
        self.assertIn("\n      style up: 3 pieces to train on, 1 held out, 240 steps\n", re.sub(r"out, \d+ steps", "out, 240 steps", self.out))
        self.assertIn("      data.source is not read: model.styles says where the music of each style lies\n", self.out)
        self.assertRegex(self.out, r"\n  2 styles +\[4, 16, 3\] +6 parameters, and some before each LSTM layer\n")
        self.assertIn("\nstyle: up 0.5, down 0.5 (equal shares; generate.style chooses others)\n", self.out)
        table = re.findall(r"(?m)^pieces of (up|down) \(1\): (-[\d.]+) nats a step as up, (-[\d.]+) as down, (-[\d.]+) in equal shares; ([01]) of 1 likeliest as its own$", self.out)
        self.assertEqual([row[0] for row in table], ["up", "down"])
        record = self.record()
        self.assertEqual([(one["name"], one["pieces_train"], one["pieces_valid"]) for one in record["data"]["styles"]], [("up", 3, 1), ("down", 3, 1)])
        self.assertEqual(sum(one["steps"] for one in record["data"]["styles"]), record["data"]["steps"])
        self.assertEqual(record["style"], "up 0.5, down 0.5")
        for row, said in zip(record["style_likelihoods"], table):
            self.assertEqual(["%.3f" % x for x in row["nats_per_step"] + [row["nats_per_step_equal"]]], list(said[1:4]))
        # each held-out piece as of its own style
        mean = sum(row["nats_per_step"][i] * row["steps"] for i, row in enumerate(record["style_likelihoods"])) / sum(row["steps"] for row in record["style_likelihoods"])
        self.assertAlmostEqual(record["log_likelihood"]["valid"]["nats_per_step"], mean, places=5)

    def test_the_checkpoint_and_the_report_have_them(self):
        tensors, metadata = read_tensors(self.folder / "runs/styles/checkpoints/best.safetensors")
        shapes = {name: shape for name, (_, shape, _) in tensors.items() if "style" in name}
        width = tensors["blocks.1.layers.0.weight_ih"][1][1]
        self.assertEqual({name: shapes[name] for name in ("style.weight", "blocks.1.layers.0.style.weight", "blocks.1.layers.0.style.bias")},
                         {"style.weight": [3, 2], "blocks.1.layers.0.style.weight": [width, 3], "blocks.1.layers.0.style.bias": [width]})
        self.assertEqual(len(shapes), 5)
        self.assertIn('{ name = "down", source = [', metadata["config"])
        self.assertIn("styles", self.poph_json("inspect", "runs/styles")["metadata"]["config"])
        page = (self.folder / "runs/styles/report.html").read_text()
        self.assertIn("held-out pieces as of every style, nats a step", page)
        self.assertIn("Composed in the style up 0.5, down 0.5.", page)
        self.assertRegex(self.poph_ok("compare", "runs/styles"), r"(?m)^Pieces of +up +down$|Pieces of .*As up +As down")

    def test_evaluate(self):
        own = self.poph_json("evaluate", "runs/styles")
        record = self.record()
        self.assertEqual((own["style"], own["split"]), ("each piece's own", "valid"))
        self.assertAlmostEqual(own["log_likelihood"]["nats_per_step"], record["log_likelihood"]["valid"]["nats_per_step"], places=6)
        for i, (name, row) in enumerate(own["styles"].items()):
            self.assertEqual(name, record["style_likelihoods"][i]["name"])
            self.assertEqual(row["recognised"], record["style_likelihoods"][i]["recognised"])
            for one, expected in zip(row["nats_per_step"].values(), record["style_likelihoods"][i]["nats_per_step"]):
                self.assertAlmostEqual(one, expected, places=6)
        for name, i in (("up", 0), ("down", 1)):
            of = self.poph_json("evaluate", "runs/styles", "--style", name)
            self.assertEqual(of["style"], {"up": 1 - i, "down": i})
            self.assertNotIn("styles", of)
            mean = sum(row["nats_per_step"][i] * row["steps"] for row in record["style_likelihoods"]) / sum(row["steps"] for row in record["style_likelihoods"])
            self.assertAlmostEqual(of["log_likelihood"]["nats_per_step"], mean, places=6)
        other = self.poph_json("evaluate", "runs/styles", "--data", "music", "--style", "up=0.25,down=0.75")
        self.assertEqual(other["style"], {"up": 0.25, "down": 0.75})
        self.assertEqual(self.poph_json("evaluate", "runs/styles", "--data", "music")["style"], {"up": 0.5, "down": 0.5})
        self.assertIn("the styles of the pieces of --data are not known; style: up 0.5, down 0.5 (equal shares; --style chooses others)\n",
                      self.poph_ok("evaluate", "runs/styles", "--data", "music"))
        with_data = self.poph_ok("data", "styles.toml")
        self.assertIn("styles:\n  up:\n    train: 3\n    valid: 1\n", with_data)

    def compose(self, out, *words):
        found = self.poph_json("generate", "runs/styles", "--bars", "2", "--out", out, *words)
        return [(self.folder / piece["file"]).read_bytes() for piece in found["pieces"]], found["style"]

    def test_generate(self):
        equal, said = self.compose("equal")
        self.assertEqual(said, {"up": 0.5, "down": 0.5})
        self.assertEqual(self.compose("same", "--style", "up=0.5,down=0.5"), (equal, said))
        up, said = self.compose("up", "--style", "up")
        self.assertEqual(said, {"up": 1, "down": 0})
        self.assertEqual(self.compose("key", "generate.style={ up = 1 }")[0], up)
        self.assertNotEqual(self.compose("down", "--style", "down=1")[0], up)
        self.assertIn("style: down 0.75, up 0.25\n".replace("down 0.75, up 0.25", "up 0.25, down 0.75"),
                      self.poph_ok("generate", "runs/styles", "--style", "down=0.75, up=0.25", "--out", "some"))
        self.write("tune.mid", melody(16))
        given = self.poph_json("generate", "runs/styles", "--style", "down", "--melody", "tune.mid", "--prime", "music/1.mid", "--particles", "4", "--out", "given")
        self.assertIn("condition", given["pieces"][0])

    def test_refusals(self):
        code, _, err = self.call(RUN, "x.toml", "name=plain", "--quiet", "train.epochs=1")
        self.assertEqual((code, err), (0, ""))
        for words, message in ((("--style", "up"), "generate.style: this model has no styles: model.styles is an empty list"),
                               (("generate.style={ up = 1 }",), "this model has no styles")):
            self.refused(POPH, "generate", "runs/plain", *words, message=message)
        self.refused(POPH, "evaluate", "runs/plain", "--style", "up", message="--style: this model has no styles: model.styles is an empty list")
        for command in ("generate", "evaluate"):
            for words, message, code in (("", r"--style: found \"\", expected the name of a style, or shares such as bach=0\.7,satie=0\.3", 2),
                                         ("up=nan,down=1", "--style: up: must be a finite number, is nan", 2),
                                         ("up=-0.5,down=1.5", "--style: up: must be at least 0, is -0.5", 2),
                                         ("up=0.5,down=0.4", "[.-]-?style: the shares sum to 0.9, expected 1", 1),
                                         ("pu", r"[.-]-?style: found the style \"pu\", expected some of up, down: did you mean \"up\"\?", 1)):
                self.refused(POPH, command, "runs/styles", "--style", words, message=message, code=code)
        self.refused(POPH, "evaluate", "runs/styles", "generate.style={ up = 1 }", message="changes nothing here")
        self.refused(RUN, "styles.toml", "name=other", "data.source=more", message="data.source: changes nothing here: only an experiment without model.styles uses it")
        self.refused(RUN, "x.toml", "name=other", "model.style_units=3", message="model.style_units: changes nothing here: only a model with styles")
        # first weights and mixtures
        for words, message in ((("x.toml", "name=other", "train.start_from=runs/styles"), "train.start_from: .* has the styles up, down, expected none as model.styles has"),
                               (("styles.toml", "name=other", "train.start_from=runs/plain"), "train.start_from: .* has no styles, expected up, down as model.styles has"),
                               (("styles.toml", "name=other", "train.start_from=runs/styles", 'model.styles=[{ name = "down", source = "more" }, { name = "up", source = "music" }]'),
                                "train.start_from: .* has the styles up, down, expected down, up as model.styles has")):
            self.refused(RUN, *words, message=message)
        self.refused(POPH, "evaluate", "runs/styles", "runs/plain", message=r"are no mixture; model.styles: was \[\"up\", \"down\"\], now \[\]")
        both = self.poph_json("evaluate", "runs/styles", "runs/styles")
        self.assertAlmostEqual(both["mixture"]["log_likelihood"]["nats_per_step"], both["models"][0]["log_likelihood"]["nats_per_step"], places=6)
        # a run is known by whose pieces its styles are
        swapped = 'model.styles=[{ name = "up", source = "more" }, { name = "down", source = "music" }]'
        self.refused(RUN, "styles.toml", swapped, message="runs/styles was started with other data")
        self.refused(RUN, "styles.toml", 'model.styles=[{ name = "up", source = "music" }]', message=r"was started with other settings; model.styles: was \[\"up\", \"down\"\], now \[\"up\"\]")
        self.refused(RUN, "styles.toml", "name=other", 'model.styles=[{ name = "up", source = "music" }, { name = "down", source = "music/1.mid" }]',
                     message="data: style down: found no piece of its own, expected at least one: all of 1 are those of earlier styles, such as 1.mid of style up")
        self.refused(RUN, "styles.toml", "name=other", 'model.styles=[{ name = "up", source = "gone" }]', message="data: .*gone: no such file or folder")

    def test_a_run_whose_music_has_moved_is_the_same(self):
        shutil.copytree(self.folder / "music", self.folder / "moved/a", dirs_exist_ok=True)
        shutil.copytree(self.folder / "more", self.folder / "moved/b", dirs_exist_ok=True)
        moved = 'model.styles=[{ name = "up", source = "moved/a" }, { name = "down", source = "moved/b" }]'
        self.assertIn("runs/styles is finished already", self.run_ok("styles.toml", moved))
        self.assertIn("runs/styles is finished already", self.run_ok("styles.toml"))

    def test_a_sweep_over_styles(self):
        self.write("sweep.toml", """extends = "styles.toml"
train.epochs = 1
[sweep.axes]
"model.styles" = [[{ name = "up", source = "music" }, { name = "down", source = "more" }], [{ name = "all", source = ["music", "more"] }], []]
""")
        self.run_ok("sweep.toml", "--quiet")
        runs = [json.loads(line) for line in (self.folder / "runs/sweep/index.jsonl").read_text().splitlines()]
        self.assertEqual([(run["label"], run["status"]) for run in runs],
                         [("styles up+down", "finished"), ("styles all", "finished"), ("no styles", "finished")])
        out = self.poph_ok("compare", "runs/sweep")
        self.assertIn("held-out pieces as of every style", out)

    def test_a_dry_run_and_a_smoke_test(self):
        out = self.run_ok("styles.toml", "name=dry", "--dry-run")
        self.assertIn("style down: 3 pieces to train on, 1 held out", out)
        self.assertRegex(out, "memory: .* at most in a step on the CPU")
        self.assertIn("runs/styles-smoke", self.run_ok("styles.toml", "--smoke"))
        self.assertEqual(self.record("styles-smoke")["status"], "finished")
