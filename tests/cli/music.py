"""poph inspect, evaluate and generate, and the golden cases."""
import hashlib
import json
import math
import re
import subprocess

from support import POPH, RUN, SOURCE, Case, loss_parts, melody, midi_bytes, read_tensors, write_tensors

GOLDEN = SOURCE / "tests/golden"


class Golden(Case):
    def agree(self, dtype, tolerance, gradient_tolerance, epsilon):
        """Where all but cancels, as in the weights of attention's scores, what rounds is the size of what cancels: a gradient may be off by
        epsilon of all gradients together."""
        for name, words in json.loads((GOLDEN / "map.json").read_text()).items():
            midi, *more = [words] if isinstance(words, str) else words
            with self.subTest(name):
                expected = json.loads((GOLDEN / (name + ".json")).read_text())
                out = self.folder / ("%s.%s.safetensors" % (name, dtype))
                found = self.poph_json("evaluate", GOLDEN / (name + ".safetensors"), "--data", GOLDEN / midi, "--windows",
                                       str(expected["windows_scored"]), "--dtype", dtype, "--gradients", out, *more)
                self.compare(expected, found, tolerance)
                want, got = read_tensors(GOLDEN / (name + ".gradients.safetensors"))[0], read_tensors(out)[0]
                self.assertEqual(sorted(want), sorted(got))
                whole = math.hypot(*(value for _, _, values in want.values() for value in values))
                for parameter, (_, shape, values) in want.items():
                    self.assertEqual((dtype.upper(), shape), got[parameter][:2], parameter)
                    apart = math.dist(values, got[parameter][2])
                    self.assertLessEqual(apart, max(gradient_tolerance * math.hypot(*values), epsilon * whole), parameter)

    def compare(self, expected, found, tolerance):
        for key, value in expected.items():
            self.assertIn(key, found)
            if isinstance(value, dict):
                self.compare(value, found[key], tolerance)
            elif isinstance(value, float):
                self.assertLessEqual(abs(found[key] - value), tolerance * abs(value), key)
            else:
                self.assertEqual(found[key], value, key)

    def test_f64(self):
        self.agree("f64", 1e-9, 1e-8, 0)

    def test_f32(self):
        self.agree("f32", 1e-5, 1e-4, 2**-23)

    def test_no_likelihood_for_what_sees_the_answer(self):
        found = self.poph_json("evaluate", GOLDEN / "leaky.safetensors", "--data", GOLDEN / "mz_545_2.mid", "--windows", "1")
        self.assertFalse(found["autoregressive"])
        self.assertNotIn("log_likelihood", found)


class Shipped(Case):
    def test_models(self):
        folder = SOURCE / "data/models"
        rows = re.findall(r"(?m)^\| `(\w+\.safetensors)` .* ([0-9a-f]{64}) \|$", (folder / "README.md").read_text())
        self.assertEqual(sorted(name for name, _ in rows), sorted(path.name for path in folder.glob("*.safetensors")))
        self.assertTrue(rows)
        for name, digest in rows:
            data = (folder / name).read_bytes()
            self.assertLessEqual(len(data), 6_000_000, name)
            self.assertEqual(hashlib.sha256(data).hexdigest(), digest, name)
        # An older hymn, of which the model knows nothing. A coin for each key would cost 37 nats a frame.
        found = self.poph_json("evaluate", folder / "jsb.safetensors", "--data", SOURCE / "data/corpus/bourgeois_old_hundredth.mid", "data.steps_per_quarter=1")
        self.assertAlmostEqual(found["log_likelihood"]["nats_per_step"], -8.25294, places=4)
        self.poph_ok("generate", folder / "jsb.safetensors", "--bars", "2", "--pieces", "1", "--out", "chorale")
        self.assertGreater(self.poph_json("inspect", "chorale/piece_1.mid")["sounding_cells"], 50)

    def test_names(self):
        piece = SOURCE / "data/corpus/bourgeois_old_hundredth.mid"
        by_name, by_path = (self.poph_json("evaluate", model, "--data", piece) for model in ("jsb", SOURCE / "data/models/jsb.safetensors"))
        self.assertEqual(by_name["loss"], by_path["loss"])
        self.assertEqual(self.poph_json("inspect", "jsb")["tensors"], self.poph_json("inspect", SOURCE / "data/models/jsb.safetensors")["tensors"])
        self.poph_ok("generate", "jsb", "--bars", "1", "--pieces", "1", "--out", "by name")
        names = ", ".join(sorted(path.stem for path in (SOURCE / "data/models").glob("*.safetensors")))
        for command in ("generate", "inspect", "evaluate"):
            self.refused(POPH, command, "jbs", message=f"jbs: no such run and no such file; the models that come with PopH are {names}$")
        # What is there has the name first.
        (self.folder / "jsb").mkdir()
        self.refused(POPH, "generate", "jsb", message="jsb: no checkpoint in this folder")


class Inspect(Case):
    def test_midi(self):
        self.write("two notes.mid", midi_bytes([(0, b"\x90\x3c\x40"), (4, b"\x80\x3c\x00"), (0, b"\x90\x3c\x7f"), (2, b"\x80\x3c\x00"),
                                                (0, b"\x90\x14\x40"), (2, b"\x80\x14\x00")]))
        found = self.poph_json("inspect", "two notes.mid")
        wanted = {"steps": 6, "sounding_cells": 6, "replays": 1, "dropped_notes": 1, "tracks": 1, "lowest_note": 36, "notes": 48}
        self.assertEqual({key: found[key] for key in wanted}, wanted)
        self.assertAlmostEqual(found["volume_sum"], (4 * 64 + 2 * 127) / 127)
        self.assertAlmostEqual(found["seconds"], 1.0)
        self.assertEqual(self.poph_json("inspect", "two notes.mid", "data.lowest_note=0", "data.notes=128")["sounding_cells"], 8)
        self.refused(POPH, "inspect", "two notes.mid", "data.note=88", message=r"command line: .*did you mean .*data\.notes")
        self.assertIn("steps: 6\n", self.poph_ok("inspect", "two notes.mid"))

    def test_meter_and_rounding(self):
        # A waltz, one tick early: steps are ticks of 4, and a bar has 12 steps.
        self.write("waltz.mid", midi_bytes([(0, b"\xff\x58\x04\x03\x02\x18\x08"), (15, b"\x90\x3c\x40"), (16, b"\x80\x3c\x00")], division=16))
        self.assertEqual([self.poph_json("inspect", "waltz.mid", *words)[key] for words, key in
                          (((), "steps"), (("data.quantize=floor",), "steps"), ((), "sounding_cells"), (("data.quantize=floor",), "sounding_cells"),
                           ((), "meters"), (("data.meter=4/4",), "meters"))], [8, 8, 4, 5, "3/4", "4/4"])
        self.assertIn("one behind the other", self.poph_json("inspect", GOLDEN / "cases/type2.mid")["format_2"])
        for word in ("data.quantize=up", "data.meter=3/4"):
            self.refused(POPH, "inspect", "waltz.mid", word, message="command line: %s: .* is none of" % word)
        self.refused(RUN, "x.toml", "data.windows=lane", message='"lane" is none of "lanes", "staggered"')

    def test_checkpoint(self):
        self.run_ok("x.toml", "--quiet", "train.epochs=1")
        for path in ("runs/x", "runs/x/checkpoints/best.safetensors"):
            found = self.poph_json("inspect", path)
            self.assertEqual(found["tensors"]["note_head.bias"], {"dtype": "F32", "shape": [2], "bytes": 8})
            self.assertEqual(found["parameters"] * 4, found["bytes"])
            self.assertIn("octave_units = 2", found["metadata"]["config"])


class Commands(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for words in (("name=x",), ("name=play", "data.channels=['play']")):
            code, _, err = cls.call(RUN, "x.toml", "--quiet", "train.epochs=1", *words)
            assert code == 0, err

    def compose(self, *words, run="runs/x"):
        """The bytes of the pieces that `poph generate` wrote, in order, and what it said of them."""
        out = "out of " + self.id().rsplit(".", 1)[1]
        found = self.poph_json("generate", run, "--out", out, *words)
        return [(self.folder / piece["file"]).read_bytes() for piece in found["pieces"]], found

    def test_generate(self):
        pieces, said = self.compose("--bars", "2", "--pieces", "3", "--seed", "7")
        self.assertEqual([piece["file"] for piece in said["pieces"]], ["out of test_generate/piece_%d.mid" % i for i in (1, 2, 3)])
        self.assertEqual([piece["steps"] for piece in said["pieces"]], [32] * 3)
        self.assertEqual(len(set(pieces)), 3)
        self.assertEqual(said["seed"], 7)
        self.assertEqual(self.compose("--bars", "2", "--pieces", "3", "--seed", "7")[0], pieces)
        self.assertEqual(self.compose("--bars", "2", "--pieces", "1", "--seed", "7")[0], pieces[:1])  # whatever their number
        for other in (["--seed", "8"], ["--seed", "7", "--temperature", "2"], ["--seed", "7", "--tempo", "90"], ["--seed", "7", "--context", "4"]):
            self.assertNotEqual(self.compose("--bars", "2", "--pieces", "3", *other)[0], pieces, other)
        self.assertEqual(self.compose("--bars", "2", "--pieces", "3", "--seed", "7", "--threads", "2")[0], pieces)
        self.assertEqual(self.compose("generate.bars=2", "generate.pieces=3", "--seed", "7", run="runs/x/checkpoints/best.safetensors")[0], pieces)
        code, out, _ = self.call(POPH, "generate", "runs/x", "--bars", "1", "--pieces", "1")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^composed/piece_1\.mid: 16 steps, ")
        self.assertRegex(out, r"[\d.]+ steps/s")
        first = (self.folder / "composed/piece_1.mid").read_bytes()
        said = self.poph_json("generate", "runs/x", "--bars", "1", "--pieces", "2", "--seed", "2")
        self.assertEqual([piece["file"] for piece in said["pieces"]], ["composed/piece_2.mid", "composed/piece_3.mid"])
        self.assertEqual((self.folder / "composed/piece_1.mid").read_bytes(), first)
        said = self.poph_json("generate", "runs/x", "--bars", "1", "--seed", "2", "--force")
        self.assertEqual([piece["file"] for piece in said["pieces"]], ["composed/piece_1.mid"])
        self.assertEqual((self.folder / "composed/piece_1.mid").read_bytes(), (self.folder / "composed/piece_2.mid").read_bytes())

    def test_prime(self):
        prime = self.poph_json("inspect", "music/2.mid", "data.lowest_note=60", "data.notes=12")
        after, _ = self.compose("--bars", "1", "--prime", "music/2.mid")
        self.assertNotEqual(after, self.compose("--bars", "1")[0])
        _, said = self.compose("--bars", "1", "--prime", "music/2.mid", "--keep-prime")
        self.assertEqual(said["pieces"][0]["steps"], prime["steps"] + 16)
        for run in ("runs/x", "runs/play"):
            self.compose("--bars", "1", "--prime", "music/2.mid", "--context", "8", run=run)
        self.write("low.mid", melody(20, lowest=20))
        for path, message in (("gone.mid", "gone.mid: .*No such file"), ("x.toml", "expected the header chunk"), ("low.mid", r"low.mid: all 20 notes are out of range \(60 to 71\)")):
            self.refused(POPH, "generate", "runs/x", "--prime", path, "--out", "none", message=r"generate\.prime: .*" + message)
        self.refused(POPH, "generate", "runs/x", "--bars", "65537", "--out", "none", message="--bars", code=2)
        self.assertFalse((self.folder / "none").exists())

    def test_meter(self):
        _, said = self.compose("--bars", "2", "--pieces", "1", "generate.meter=3/4")
        self.assertEqual(said["pieces"][0]["steps"], 24)
        self.assertEqual(self.poph_json("inspect", said["pieces"][0]["file"], "data.lowest_note=60", "data.notes=12")["meters"], "3/4")
        # A prime goes on in its own meter.
        self.write("waltz.mid", midi_bytes([(0, b"\xff\x58\x04\x03\x02\x18\x08"), (0, b"\x90\x3c\x40"), (18, b"\x80\x3c\x00")]))
        _, said = self.compose("--bars", "2", "--pieces", "1", "--prime", "waltz.mid", "--keep-prime", "generate.meter=5/4")
        self.assertEqual(said["pieces"][0]["steps"], 18 + 24)
        for meter in ("three", "3/5", "0/4", "3/4/4", "\'\'"):
            self.refused(POPH, "generate", "runs/x", "generate.meter=" + meter, "--out", "none", message=r"generate\.meter = ")

    def test_conditions(self):
        keys = (67, 69, 71, 67, 65, 64, 62, 60)  # each lasts three sixteenths: 24 in two bars
        self.write("tune.mid", midi_bytes([event for key in keys for event in ((0, bytes([0x90, key, 64])), (3, bytes([0x80, key, 0])))]))
        for run in ("runs/x", "runs/play"):
            pieces, said = self.compose("--melody", "tune.mid", "--pieces", "2", "--particles", "8", "--scale", "C major", "--most-notes", "3", run=run)
            self.assertEqual(said["pieces"][0]["steps"], 32)  # as long as the tune, in whole bars
            self.assertEqual(said["left_out"], [])
            for piece in said["pieces"]:
                condition = piece["condition"]
                self.assertLess(condition["log_probability"], 0)
                self.assertTrue(1 <= condition["smallest_effective_size"] <= 8, condition)
                found = self.poph_json("inspect", piece["file"], "data.lowest_note=60", "data.notes=12")
                self.assertEqual([found["pitch_classes"][black] for black in (1, 3, 6, 8, 10)], [0] * 5)
            again, _ = self.compose("--melody", "tune.mid", "--pieces", "2", "--particles", "8", "--scale", "C major", "--most-notes", "3", "--threads", "2", run=run)
            self.assertEqual(again, pieces)
        code, out, _ = self.call(POPH, "generate", "runs/x", "--keep", "tune.mid", "--keep-bars", "1", "--bass", "tune.mid", "--bars", "1", "--pieces", "1", "--out", "kept")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^condition of piece 1: log probability -[\d.]+, effective size at least [\d.]+ of 32 particles, resampled \d+ times$")
        self.assertRegex(out, r"(?m)^bass: .*tune\.mid: it has 2 bars, and the last 1 are beyond the 1 that are composed$")
        for words, message in (
            (("--melody", "gone.mid"), r"generate\.melody: .*gone\.mid: .*No such file"),
            (("--bass", "x.toml"), r"generate\.bass: .*expected the header chunk"),
            (("--keep", "tune.mid"), r"generate\.keep: generate\.keep_bars is not set"),
            (("--keep-bars", "1"), r"generate\.keep_bars: there is no file"),
            (("--keep", "tune.mid", "--keep-bars", "1-40"), r"generate\.keep_bars: bar 40 is "),
            (("--keep", "tune.mid", "--keep-bars", "1,0"), r"generate\.keep_bars: bars are counted from 1, found 0"),
            (("--melody", "tune.mid", "--scale", "D major"), r"generate\.melody: bar 1: F4 \(MIDI 65\) is not in the scale D major"),
            (("--scale", "H minor"), r'generate\.scale = "H minor", expected one such as "D minor"'),
            (("--particles", "64"), "--particles: changes nothing here"),
        ):
            self.refused(POPH, "generate", "runs/x", *words, "--out", "none", message=message)
        for words in (("--most-notes", "many"), ("--particles", "0"), ("--melody", ""), ("--bars", "1-8"), ("--keep-bars", "one"), ("--scale", "")):
            self.refused(POPH, "generate", "runs/x", *words, "--out", "none", message=words[0], code=2)
        self.assertFalse((self.folder / "none").exists())

    def test_a_checkpoint_from_before(self):
        # What its file does not say means what there was then: floors, and bars of four quarter notes.
        weights, metadata = read_tensors(self.folder / "runs/x/checkpoints/best.safetensors")
        lines = [line for line in metadata["config"].splitlines() if line.split(" = ")[0] not in ("quantize", "meter", "windows")]
        self.assertEqual(len(lines), len(metadata["config"].splitlines()) - 4)
        write_tensors(self.folder / "before.safetensors", weights, {**metadata, "config": "\n".join(lines) + "\n"})
        self.write("early.mid", midi_bytes([(0, b"\xff\x58\x04\x03\x02\x18\x08"), (15, b"\x90\x3c\x40"), (80, b"\x80\x3c\x00")], division=16))
        score = lambda path, *words: self.poph_json("evaluate", path, "--data", "early.mid", "--dtype", "f64", *words)["log_likelihood"]["nats_per_step"]
        before = score("before.safetensors")
        self.assertEqual(before, score("runs/x", "data.quantize=floor", "data.meter=4/4"))
        self.assertNotEqual(before, score("runs/x", "data.meter=4/4"))
        self.assertNotEqual(before, score("runs/x", "data.quantize=floor"))

    def test_what_was_composed_can_be_read(self):
        self.compose("--bars", "4", "--pieces", "2", "--temperature", "1.5")
        for path in sorted((self.folder / "out of test_what_was_composed_can_be_read").glob("*.mid")):
            found = self.poph_json("inspect", path, "data.lowest_note=60", "data.notes=12")
            self.assertEqual(found["dropped_notes"], 0)
            self.assertLessEqual(found["steps"], 64)
            self.assertGreater(found["sounding_cells"], 0)

    def test_match_features(self):
        self.run_ok("x.toml", "--quiet", "train.epochs=1", "name=match", "model.match=true")
        found = self.poph_json("evaluate", "runs/match", "--dtype", "f64")
        self.assertGreater(found["log_likelihood"]["steps"], 0)
        pieces, _ = self.compose("--bars", "2", "--pieces", "2", "--prime", "music/2.mid", run="runs/match")
        self.assertEqual(len(set(pieces)), 2)
        self.assertEqual(json.loads((self.folder / "runs/match/run.json").read_text())["measures"]["train"]["pieces"], 3)
        shares = self.poph_json("data", "music", "data.lowest_note=60", "data.notes=12")["repeats"]
        self.assertEqual(shares.pop("pieces"), 4)
        self.assertAlmostEqual(sum(shares.values()), 1)
        self.refused(POPH, "generate", "runs/match", "model.match_dropout=0.5", message="changes nothing here")

    def test_counts_of_keys_that_a_checkpoint_lacks(self):
        for name, match, says in (("plain", "false", None), ("matched", "true", r"without\.safetensors: its metadata lacks key_counts")):
            self.run_ok("x.toml", "--quiet", "train.epochs=1", "name=" + name, "data.channels=['play']", "model.match=" + match)
            weights, metadata = read_tensors(self.folder / "runs" / name / "checkpoints/best.safetensors")
            self.assertTrue(metadata.pop("key_counts"))
            write_tensors(self.folder / "without.safetensors", weights, metadata)
            if says:
                self.refused(POPH, "evaluate", "without.safetensors", message=says)
                self.refused(POPH, "generate", "without.safetensors", message=says)
                continue
            likelihood = lambda path: self.poph_json("evaluate", path)["log_likelihood"]
            before, now = likelihood("without.safetensors"), likelihood("runs/plain")
            self.assertIn("key_counts", before["remark"])
            self.assertNotIn("nats_per_step_88_keys", before)
            self.assertLess(now["nats_per_step_88_keys"], now["nats_per_step"])
            self.assertEqual(before["nats_per_step"], now["nats_per_step"])

    def test_mido_agrees(self):
        if subprocess.run(["/usr/bin/python3", "-c", "import mido"], capture_output=True).returncode:
            self.skipTest("no mido")
        self.compose("--bars", "4", "--pieces", "2", "--temperature", "1.5")
        files = [str(path) for path in (self.folder / "out of test_mido_agrees").glob("*.mid")]
        checked = subprocess.run(["/usr/bin/python3", SOURCE / "tests/check_midi_with_mido.py", POPH, *files], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_evaluate(self):
        own = self.poph_json("evaluate", "runs/x")
        self.assertEqual((own["split"], own["pieces"]), ("valid", 1))
        given = self.poph_json("evaluate", "runs/x", "--data", "music/1.mid", "--dtype", "f64")
        self.assertEqual((given["split"], given["pieces"]), ("all", 1))
        self.assertEqual(set(given["loss"]), loss_parts(self.folder / "runs/x"))
        likelihood = given["log_likelihood"]
        self.assertEqual((likelihood["lowest_note"], likelihood["notes"], likelihood["steps_per_quarter"]), (60, 12, 4))
        self.assertAlmostEqual(likelihood["nats_per_quarter"], 4 * likelihood["nats_per_step"])
        self.assertEqual(likelihood["steps"], given["steps"])
        self.assertEqual(self.poph_json("evaluate", "runs/x", "--data", "music", "--split", "all")["pieces"], 4)
        one = self.poph_json("evaluate", "runs/x", "--data", "music", "--split", "all", "--windows", "1")
        self.assertEqual(one["windows_scored"], 1)
        more = self.poph_json("evaluate", "runs/x", "--data", "music/1.mid", "--windows", "1000000")
        self.assertEqual(more["windows_scored"], more["windows"])
        free = self.poph_json("evaluate", "runs/x", "--data", "music/1.mid", "--dtype", "f64", "loss.harmony.weight=0")
        parts = free["loss"]
        self.assertAlmostEqual(parts["total"], parts["play"] + parts["replay"] + parts["volume"])
        play = set(self.poph_json("evaluate", "runs/play", "--data", "music/1.mid")["loss"])
        self.assertEqual(play, set(parts) - {"replay", "volume"})
        self.assertEqual(play, loss_parts(self.folder / "runs/play"))
        self.refused(POPH, "evaluate", "runs/x", "--data", "gone", message="gone: no such file or folder")
        self.refused(POPH, "evaluate", "runs/x", "--data", "music", "--split", "test", message="--split test: this data has no such pieces")
        for words in (("--threads", "1"), ("--threads", "2")):
            self.assertEqual(self.poph_json("evaluate", "runs/x", *words), own)
