"""Checkpoints that are missing, damaged, of another model or full of lies: refused in one line, and nothing is written."""
import re
import shutil
import struct
import unittest
from array import array

from support import POPH, RUN, SANITIZED, SOURCE, Case, contents, limit_memory, read_tensors, text, write_tensors


class Checkpoints(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, _, err = cls.call(RUN, "x.toml", "--quiet", "train.epochs=1")
        assert code == 0, err
        cls.best = cls.folder / "runs/x/checkpoints/best.safetensors"

    def refused_by_all(self, path, message, **options):
        path = str(path)
        self.refused(POPH, "generate", path, "--out", "composed", "--bars", "1", message=message, **options)
        self.refused(POPH, "evaluate", path, "--json", "--gradients", "g.safetensors", message=message, **options)
        self.assertFalse((self.folder / "composed").exists())
        self.assertFalse((self.folder / "g.safetensors").exists())

    def damaged(self, data, message, name="bad.safetensors", **options):
        self.write(name, data)
        self.refused_by_all(name, text(name) + ".*" + message, **options)

    def edited(self, message, tensors=(), metadata=(), drop=()):
        found, about = read_tensors(self.best)
        found.update(tensors)
        about.update(metadata)
        for name in drop:
            found.pop(name, None)
            about.pop(name, None)
        write_tensors(self.folder / "edited.safetensors", found, about)
        self.refused_by_all("edited.safetensors", r"edited\.safetensors" + message)

    def test_missing(self):
        self.refused_by_all("gone.safetensors", r"gone\.safetensors: No such file")
        self.refused_by_all("runs/gone", r"runs/gone: No such file")
        (self.folder / "bare").mkdir()
        self.refused_by_all("bare", "bare: no checkpoint in this folder: train a model first")
        self.refused(POPH, "inspect", "bare", message="folder bare: found no MIDI files")
        self.refused(POPH, "inspect", "gone.mid", message=r"gone\.mid: cannot be read: No such file")

    def test_damaged(self):
        whole = self.best.read_bytes()
        length = struct.unpack("<Q", whole[:8])[0]
        self.damaged(b"", "")
        self.damaged(whole[:5], "")
        self.damaged(whole[:length], "")
        self.damaged(whole[:-1], "")
        self.damaged(whole + b"\0", "")
        self.damaged(b"not a checkpoint", "")
        self.damaged(struct.pack("<Q", 1 << 62) + whole[8:], "")
        self.damaged(struct.pack("<Q", 99999999) + whole[8:], "")
        self.damaged(whole.replace(b'"F32"', b'"F31"', 1), "")
        self.damaged(whole.replace(b'"shape":[', b'"shape":[9', 1), "")
        self.damaged(whole.replace(b"data_offsets\":[0,", b"data_offsets\":[4,", 1), "")

    @unittest.skipIf(SANITIZED, "sanitizers add lines of their own on what they cannot allocate")
    def test_shapes_that_ask_for_the_world(self):
        def little():
            limit_memory(8 << 30)  # of which the matrix library takes 128 MB a thread
        header = b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'
        self.damaged(struct.pack("<Q", len(header)) + header, "", preexec_fn=little)
        _, about = read_tensors(self.best)
        huge = about["config"].replace("units = 4", "units = 900000")
        self.assertNotEqual(huge, about["config"])
        write_tensors(self.folder / "huge.safetensors", {}, dict(about, config=huge))
        self.refused_by_all("huge.safetensors", "memory|missing", preexec_fn=little)

    def test_of_another_model(self):
        self.edited(r" does not fit the model: missing note_head\.bias", drop=["note_head.bias"])
        self.edited(r" does not fit the model: unexpected extra", {"extra": ("F32", [1], array("f", [1]))})
        self.edited(r" does not fit the model: .*note_head\.bias is \[3\], expected \[2\]", {"note_head.bias": ("F32", [3], array("f", [1, 2, 3]))})
        code, _, err = self.call(POPH, "generate", "runs/x", "model.octave_units=3")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"does not fit the model: .*octave_conv\.weight is .*, expected ")

    def test_without_its_experiment(self):
        self.edited(r": no experiment in its metadata", drop=["config"])
        self.edited(r":1: .*did you mean", metadata={"config": "modle = 3\n"})
        self.edited(r":1:\d+: ", metadata={"config": "= = =\n"})

    def test_weights_that_are_not_numbers(self):
        self.edited(r": note_head\.bias holds values that are not finite", {"note_head.bias": ("F32", [2], array("f", [float("nan"), 0]))})

    def test_a_run_whose_checkpoints_are_damaged(self):
        shutil.copytree(self.folder / "runs/x", self.folder / "other/x")
        hurt = self.folder / "other/x/checkpoints/last.safetensors"
        hurt.write_bytes(hurt.read_bytes()[:-8])
        before = contents(self.folder / "other/x", but=("log.txt", "run.lock"))
        self.refused(RUN, "x.toml", "--out", "other", "train.epochs=2", message=r"last\.safetensors")
        self.assert_untouched(self.folder / "other/x", before, but=("log.txt", "run.lock"))
        best = self.folder / "other/x/checkpoints/best.safetensors"
        best.write_bytes(b"")
        self.refused(POPH, "generate", "other/x", message=r"best\.safetensors")

    def test_a_torn_pair_takes_the_one_before(self):
        self.run_ok("x.toml", "name=torn", "train.epochs=3")
        folder = self.folder / "runs/torn/checkpoints"
        (folder / "last.safetensors").write_bytes((folder / "last.previous.safetensors").read_bytes())
        out = self.run_ok("x.toml", "name=torn", "train.epochs=4")
        self.assertRegex(out, "different saves.*taking the pair before")
        self.assertEqual(self.status("runs/torn"), "finished")

    def test_pytorch_asks_for_the_layout(self):
        self.assertEqual(read_tensors(self.best)[1]["format"], "pt")


class PyTorch(unittest.TestCase):
    def test_a_block_as_an_lstm_of_pytorch(self):
        """README's recipe: what it loads computes what MODEL.md "Blocks" says, from the tensors as the file has them."""
        try:
            import torch
            import safetensors.torch  # noqa: F401
        except ImportError as error:
            self.skipTest("%s is not installed" % error.name)
        recipe = re.search(r"```python\n(.*?torch\.nn\.LSTM.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)[1]
        self.assertEqual(len(recipe.splitlines()), 4)
        path, golden, names = "runs/sa_lstm_lstm/checkpoints/best.safetensors", SOURCE / "tests/golden/sa_lstm_lstm.safetensors", {}
        self.assertIn(path, recipe)
        exec(recipe.replace(path, str(golden)), names)
        tensors = {name: torch.tensor(values).reshape(shape) for name, (_, shape, values) in read_tensors(golden)[0].items()}
        lstm = names["lstm"]
        self.assertEqual(lstm.num_layers, 2)
        x = torch.randn(5, 1, lstm.input_size)
        with torch.no_grad():
            found = lstm(x)[0]
        for layer in range(lstm.num_layers):
            weight_ih, weight_hh, bias = (tensors["blocks.1.layers.%d.%s" % (layer, name)] for name in ("weight_ih", "weight_hh", "bias"))
            h = c = torch.zeros(1, lstm.hidden_size)
            outputs = []
            for step in x:
                i, f, g, o = (step @ weight_ih.T + h @ weight_hh.T + bias).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            x = torch.stack(outputs)
        self.assertLess((found - x).abs().max().item(), 1e-5)
