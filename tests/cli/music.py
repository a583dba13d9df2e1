"""poph inspect, evaluate and generate, and the golden cases."""
import json
import math
import subprocess

from support import POPH, RUN, SOURCE, Case, melody, midi_bytes, read_tensors

GOLDEN = SOURCE / "tests/golden"


class Golden(Case):
    def agree(self, dtype, tolerance, gradient_tolerance):
        for name, midi in json.loads((GOLDEN / "map.json").read_text()).items():
            with self.subTest(name):
                expected = json.loads((GOLDEN / (name + ".json")).read_text())
                out = self.folder / ("%s.%s.safetensors" % (name, dtype))
                found = self.poph_json("evaluate", GOLDEN / (name + ".safetensors"), "--data", GOLDEN / midi, "--windows",
                                       str(expected["windows_scored"]), "--dtype", dtype, "--gradients", out)
                self.compare(expected, found, tolerance)
                want, got = read_tensors(GOLDEN / (name + ".gradients.safetensors"))[0], read_tensors(out)[0]
                self.assertEqual(sorted(want), sorted(got))
                for parameter, (_, shape, values) in want.items():
                    self.assertEqual((dtype.upper(), shape), got[parameter][:2], parameter)
                    apart = math.dist(values, got[parameter][2])
                    self.assertLessEqual(apart, gradient_tolerance * math.hypot(*values), parameter)

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
        self.agree("f64", 1e-9, 1e-8)

    def test_f32(self):
        self.agree("f32", 1e-5, 1e-4)

    def test_no_likelihood_for_what_sees_the_answer(self):
        found = self.poph_json("evaluate", GOLDEN / "leaky.safetensors", "--data", GOLDEN / "mz_545_2.mid", "--windows", "1")
        self.assertFalse(found["autoregressive"])
        self.assertNotIn("log_likelihood", found)


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

    def test_prime(self):
        prime = self.poph_json("inspect", "music/2.mid", "data.lowest_note=60", "data.notes=12")
        after, _ = self.compose("--bars", "1", "--prime", "music/2.mid")
        self.assertNotEqual(after, self.compose("--bars", "1")[0])
        _, said = self.compose("--bars", "1", "--prime", "music/2.mid", "--keep-prime")
        self.assertEqual(said["pieces"][0]["steps"], prime["steps"] + 16)
        for run in ("runs/x", "runs/play"):
            self.compose("--bars", "1", "--prime", "music/2.mid", "--context", "8", run=run)
        self.write("low.mid", melody(20, lowest=20))
        for path, message in (("gone.mid", "gone.mid: .*No such file"), ("x.toml", "expected the header chunk"), ("low.mid", "no note of it sounds")):
            self.refused(POPH, "generate", "runs/x", "--prime", path, "--out", "none", message=r"generate\.prime: .*" + message)
        self.refused(POPH, "generate", "runs/x", "--bars", "65537", "--out", "none", message="--bars", code=2)
        self.assertFalse((self.folder / "none").exists())

    def test_what_was_composed_can_be_read(self):
        self.compose("--bars", "4", "--pieces", "2", "--temperature", "1.5")
        for path in sorted((self.folder / "out of test_what_was_composed_can_be_read").glob("*.mid")):
            found = self.poph_json("inspect", path, "data.lowest_note=60", "data.notes=12")
            self.assertEqual(found["dropped_notes"], 0)
            self.assertLessEqual(found["steps"], 64)
            self.assertGreater(found["sounding_cells"], 0)

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
        self.assertEqual(set(given["loss"]), {"play", "replay", "volume", "harmony", "total"})
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
        self.assertEqual(set(self.poph_json("evaluate", "runs/play", "--data", "music/1.mid")["loss"]), {"play", "harmony", "total"})
        self.refused(POPH, "evaluate", "runs/x", "--data", "gone", message="gone: no such file or folder")
        self.refused(POPH, "evaluate", "runs/x", "--data", "music", "--split", "test", message="--split test: this data has no such pieces")
        for words in (("--threads", "1"), ("--threads", "2")):
            self.assertEqual(self.poph_json("evaluate", "runs/x", *words), own)
