"""The basis of the cases: a folder of their own, small experiments, MIDI and safetensors files, running the programs."""
import json
import os
import pty
import re
import resource
import shutil
import struct
import subprocess
import tempfile
import unittest
from array import array
from pathlib import Path

BUILD = Path(os.environ.get("POPH_TEST_BUILD", "build"))
SOURCE = Path(__file__).resolve().parent.parent.parent
RUN, POPH = str(BUILD / "run_experiment"), str(BUILD / "poph")
USAGE, RESUMABLE = 2, 75
SANITIZED = any(word in Path(RUN).read_bytes() for word in (b"__asan_init", b"__tsan_init")) if Path(RUN).exists() else False


def limit_memory(bytes):
    """Of this process. Sanitizers reserve terabytes of address space, so nothing can be said of it under them."""
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (bytes, bytes))


# Programs are called without sound, which takes its time, unless a test says so.
WITH_SOUND = {"POPH_SOUND_FONT": ""}
FONTS = ("sf2/FluidR3_GM.sf2", "sf2/default-GM.sf2", "sf3/default-GM.sf3", "sf2/TimGM6mb.sf2")
CAN_PLAY = shutil.which("fluidsynth") and any(os.path.exists("/usr/share/sounds/" + font) for font in FONTS)

BLOCKS = """[
  { kind = "attention_notes", heads = 1, head_dim = 2 },
  { kind = "lstm_time", layers = 1, units = 4 },
  { kind = "lstm_notes", layers = 1, units = 4 },
]"""
EXPERIMENT = """seed = 3
[data]
source = "music"
lowest_note = 60
notes = 12
window = 16
stride = 16
split = 0.25
[model]
octave_units = 2
blocks = """ + BLOCKS + """
[train]
batch = 4
epochs = 2
tensorboard = false
[generate]
pieces = 1
bars = 1
"""


def quantity(value):
    """A MIDI variable-length quantity."""
    made = [value & 127]
    while value := value >> 7:
        made.insert(0, value & 127 | 128)
    return bytes(made)


def midi_bytes(events, division=4):
    """A format-0 file of (delta ticks, event bytes)."""
    track = b"".join(quantity(delta) + data for delta, data in events) + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, division) + b"MTrk" + struct.pack(">I", len(track)) + track


def melody(steps, start=0, lowest=60, notes=12):
    """`steps` sixteenths of a tune that no other start gives."""
    events, wait = [], 0
    for step in range(steps):
        pitch = lowest + (start + step * (start + 2) + step // 5) % notes
        events += [(wait, bytes([0x90, pitch, 40 + step % 80])), (1, bytes([0x80, pitch, 0]))]
        wait = (step + start) % 7 == 0
    return midi_bytes(events)


def read_tensors(path):
    """({name: (dtype, shape, values)}, metadata) of a safetensors file."""
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    body = data[8 + length:]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = entry["dtype"], entry["shape"], array({"F32": "f", "F64": "d"}[entry["dtype"]], body[begin:end])
    return tensors, metadata


def write_tensors(path, tensors, metadata):
    header, body = {"__metadata__": metadata}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(values.tobytes())]}
        body += values.tobytes()
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def contents(folder, but=()):
    """{path within: (bytes, time of change)} of all files."""
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name not in but}


def metrics(run):
    """The lines of metrics.jsonl without their times."""
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["time_s"]
    return lines


def loss_parts(run):
    """The names of the loss's parts, as training logs them."""
    line = next(line for line in metrics(run) if line.get("split") == "valid")
    return set(line) - {"step", "epoch", "split", "autoregressive"}


def outcome(run):
    """All of a run that must be the same however often it was interrupted."""
    run = Path(run)
    content = {name: (run / "checkpoints" / (name + ".safetensors")).read_bytes() for name in ("best", "last", "best.state", "last.state")}
    content.update({path.name: path.read_bytes() for path in (run / "samples").glob("*")})
    content["metrics"] = metrics(run)
    return content


class Case(unittest.TestCase):
    """A test in a folder of its own, which is also the working folder of the programs it runs."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="poph cli é "))  # spaces and UTF-8 in every path
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.experiment = cls.write("x.toml", EXPERIMENT)
        for i in range(4):
            cls.write("music/%d.mid" % i, melody(48 + 8 * i, i))

    @classmethod
    def write(cls, name, data):
        path = cls.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    @classmethod
    def start(cls, program, *words, **options):
        # Reports without sound, but for the tests of it: it takes a while.
        environment = {**os.environ, "POPH_SOUND_FONT": "none", "POPH_CACHE": "none", **options.pop("environment", {})}
        # Unbuffered, so that communicate() misses nothing after a readline().
        options = {"cwd": cls.folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, "bufsize": 0, **options}
        return subprocess.Popen([program, *map(os.fsencode, words)], **options)

    @classmethod
    def call(cls, program, *words, **options):
        """(exit code, stdout, stderr) of the finished program."""
        with cls.start(program, *words, **options) as process:
            try:
                out, err = process.communicate(timeout=600)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, (out or b"").decode("utf-8", "replace"), (err or b"").decode("utf-8", "replace")

    def on_terminal(self, program, *words, streams=("stdout", "stderr")):
        """What the program shows on a terminal that these streams of it are, once it has ended well."""
        master, slave = pty.openpty()
        shown = b""
        with self.start(program, *words, **{name: slave if name in streams else subprocess.DEVNULL for name in ("stdout", "stderr")}) as process:
            os.close(slave)
            try:
                while more := os.read(master, 4096):
                    shown += more
            except OSError:  # the other end is closed
                pass
        os.close(master)
        self.assertEqual(process.returncode, 0, shown)
        return shown

    def run_ok(self, *words, **options):
        code, out, err = self.call(RUN, *words, **options)
        self.assertEqual((code, err), (0, ""), out)
        return out

    def poph_ok(self, *words, **options):
        code, out, err = self.call(POPH, *words, **options)
        self.assertEqual((code, err), (0, ""), out)
        return out

    def poph_json(self, *words, **options):
        """What `poph .. --json` prints: one object and nothing else."""
        found = json.loads(self.poph_ok(*words, "--json", **options))
        self.assertIsInstance(found, dict)
        return found

    def refused(self, program, *words, message, code=1, **options):
        """One line on standard error that begins with the program's name; `message` is a pattern that it holds."""
        found, out, err = self.call(program, *words, **options)
        self.assertRegex(err, r"\A%s: [^\n]+\n\Z" % Path(program).name, out)
        self.assertRegex(err, message)
        self.assertEqual(found, code, err)
        return out

    def assert_same_outcome(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected))
        # The names alone: unittest would spend minutes on the difference of two checkpoints.
        self.assertEqual([name for name in expected if found[name] != expected[name]], [], "these files differ")

    def assert_untouched(self, folder, before, but=()):
        now = contents(folder, but)
        self.assertEqual(sorted(now), sorted(before))
        self.assertEqual([name for name in before if now[name] != before[name]], [], "these files were changed")

    def status(self, run):
        return json.loads((self.folder / run / "run.json").read_text())["status"]


def text(literal):
    return re.escape(str(literal))
