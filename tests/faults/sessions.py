"""The basis of the programs here: a small experiment and a sweep, sessions of them under faults.cpp, what their folders must hold."""
import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cli"))
os.environ["POPH_TEST_BUILD"] = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "build")
import support as cli  # noqa: E402  (tests/cli/support.py: it reads the variable)

RUN, POPH, BUILD = cli.RUN, cli.POPH, cli.BUILD
RESUMABLE = cli.RESUMABLE
# A run of about a third of a second with all that a run has: events, validation, samples, a report.
EXPERIMENT = cli.EXPERIMENT.replace("tensorboard = false\n", "").replace("epochs = 2", "epochs = 3\npatience = 3").replace("pieces = 1", "pieces = 2")
SWEEP = 'extends = "x.toml"\n[sweep]\nseeds = [1, 2]\n[sweep.axes]\ntrain.learning_rate = [0.002, 0.01]\n'
SANITIZED = cli.SANITIZED


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and with it what it has started


class Fault(AssertionError):
    """Something that must not happen did."""


def require(condition, *what):
    if not condition:
        raise Fault(" ".join(map(str, what)))


@contextlib.contextmanager
def workplace():
    """A folder with the experiment, the sweep and their music; gone at the end, unless something was found."""
    folder = Path(tempfile.mkdtemp(prefix="poph-faults-"))
    (folder / "music").mkdir()
    (folder / "x.toml").write_text(EXPERIMENT)
    (folder / "s.toml").write_text(SWEEP)
    for i in range(4):
        (folder / "music" / ("%d.mid" % i)).write_bytes(cli.melody(48 + 8 * i, i))
    try:
        yield folder
    except BaseException:
        print("left for a look:", folder, file=sys.stderr)
        raise
    shutil.rmtree(folder)


class Call:
    """A line of the log of faults.cpp."""

    def __init__(self, line):
        number, process, self.name, file, argument, result, self.path, self.other, data = line.rstrip("\n").split("\t")
        self.number, self.process, self.file, self.argument, self.result = int(number), int(process), int(file), int(argument), int(result)
        self.data = bytes.fromhex(data)

    def __repr__(self):
        return "%d %s %s %s" % (self.number, self.name, self.path or self.file, self.other)


def read_log(path):
    """The calls, each with the path of its file."""
    calls, paths = [], {}
    for line in Path(path).read_text().splitlines() if Path(path).exists() else []:
        call = Call(line)
        if call.name == "open" and call.result >= 0:
            paths[call.process, call.file] = call.path
        if call.file >= 0 and not call.path:
            call.path = paths.get((call.process, call.file), "")
        calls.append(call)
    return calls


class Session:
    """One start of the program: how it ended, what it said, which calls it made."""
    count = 0

    def __init__(self, folder, out, words=("x.toml",), faults="", clock="", program=RUN, limit=120, after=None, log=True, options=(), **more):
        Session.count += 1
        shared, logged = folder / "shared", folder / "calls"
        for path in (shared, logged):
            path.unlink(missing_ok=True)
        environment = {**os.environ, "LD_PRELOAD": str(BUILD / "libfaults.so"), "FAULTS_ROOT": str(folder / out), "FAULTS_SHARED": str(shared),
                       "POPH_SOUND_FONT": "none", "OMP_WAIT_POLICY": "passive"}
        for name, value in (("FAULTS_LOG", log and str(logged)), ("FAULTS", faults), ("FAULTS_CLOCK", clock), *more.items()):
            if value:
                environment[name] = str(value)
        if SANITIZED:
            environment["ASAN_OPTIONS"] = "verify_asan_link_order=0:alloc_dealloc_mismatch=0:" + environment.get("ASAN_OPTIONS", "")
        where = ("--out", str(folder / out), "--threads", "1") if program == RUN else ()
        with subprocess.Popen([program, *map(str, words), *where], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True, text=True, errors="replace", **dict(options)) as process:
            try:
                if after:
                    after(process)
                self.out, self.err = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise Fault("it hangs: %s %s %s %s" % (words, faults, clock, more))
            finally:
                process.kill()
        self.code = process.returncode
        self.calls = read_log(logged)
        self.count_of_calls, self.allocations = struct.unpack("qq", shared.read_bytes()[:16]) if shared.exists() else (0, 0)

    def check_reads(self):
        """No file was read that is not under its final name."""
        for call in self.calls:
            if call.name == "read":
                require(".tmp-" not in call.path and "unfinished" not in call.path, "read a temporary file:", call)


def finish(folder, out, words=("x.toml",), **options):
    """A session without faults, to the end."""
    session = Session(folder, out, words, **options)
    require((session.code, session.err) == (0, ""), "it does not go on:", session.code, session.err, session.out[-500:])
    session.check_reads()
    return session


def safetensors_id(path):
    """The save_id of a file that must be whole."""
    data = path.read_bytes()
    require(len(data) >= 8, path, "is torn")
    length = struct.unpack("<Q", data[:8])[0]
    require(len(data) >= 8 + length, path, "is torn")
    header = json.loads(data[8:8 + length])
    about = header.pop("__metadata__")
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    require(len(data) == 8 + length + end, path, "is torn:", len(data), "bytes, expected", 8 + length + end)
    return about["save_id"]


def check_lines(path):
    """All lines but a torn last one are JSON objects."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        require(isinstance(json.loads(line), dict), path, "has a torn line:", line[:80])


def records(data):
    """The records of an event file; a torn last one is left out."""
    while len(data) >= 12:
        length = struct.unpack("<Q", data[:8])[0]
        if len(data) < 16 + length:
            return
        yield data[12:12 + length]
        data = data[16 + length:]


def check_file(path):
    """A file under its final name is whole."""
    name, data = path.name, path.read_bytes()
    if name.endswith(".safetensors"):
        safetensors_id(path)
    elif name.endswith(".toml"):
        tomllib.loads(data.decode())
        require(data.endswith(b"\n"), path, "is torn")
    elif name.endswith(".json"):
        json.loads(data)
    elif name.endswith(".jsonl"):
        check_lines(path)
    elif name.endswith(".mid"):
        at = 14
        while at < len(data):
            at += 8 + struct.unpack(">I", data[at + 4:at + 8])[0]
        require(data[:4] == b"MThd" and at == len(data), path, "is torn")
    elif name.endswith((".svg", ".html")):
        require(data.rstrip().endswith(b"</%s>" % name.rsplit(".")[-1].encode()), path, "is torn")
    elif name.startswith("events."):
        list(records(data))
    else:
        require(name in ("run.lock", "sweep.lock", "log.txt", "report.csv", "report_runs.csv"), path, "is not known here")


def check_folder(folder):
    """After a kill: each file under its final name is whole, and of each checkpoint there is a whole pair."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".tmp-" not in path.name and "samples.unfinished" not in path.parts:
            check_file(path)
    for weights in folder.rglob("checkpoints/*.safetensors"):
        if ".state." in weights.name or ".previous." in weights.name:
            continue
        stem = str(weights)[:-len(".safetensors")]
        pairs = [[Path(stem + middle + end) for end in (".safetensors", ".state.safetensors")] for middle in ("", ".previous")]
        require(any(all(path.exists() for path in pair) and safetensors_id(pair[0]) == safetensors_id(pair[1]) for pair in pairs),
                weights, "has no whole pair")


def check_finished(folder):
    """Nothing half-done is left."""
    check_folder(folder)
    left = [str(path) for path in folder.rglob("*") if ".tmp-" in path.name or "unfinished" in path.name]
    require(not left, "left behind:", left)
    for run in folder.rglob("run.json"):
        require(json.loads(run.read_text())["status"] == "finished", run, "is not finished")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of a protobuf message: whole numbers as such, all else as bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        size = {1: 8, 5: 4}.get(tag & 7)
        value = None
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            size, at = varint(data, at)
        if value is None:
            value, at = data[at:at + size], at + size
        yield tag >> 3, value


def curves(run):
    """{tag: [(step, value)]} as TensorBoard shows them: a session's first record makes void what others wrote of later steps."""
    found = {}
    for path in sorted(run.glob("events.*")):
        for record in records(path.read_bytes()):
            event = dict(fields(record))
            step = event.get(2, 0)
            if 7 in event:
                for points in found.values():
                    points[:] = [point for point in points if point[0] < step]
            for _, value in fields(event.get(5, b"")):
                value = dict(fields(value))
                if 2 in value:
                    found.setdefault(value[1].decode(), []).append((step, value[2]))
    return found


def outcome(run):
    """Everything of a run that must not depend on how it came about, {name: bytes or values}."""
    kept = cli.outcome(run)
    about = json.loads((Path(run) / "run.json").read_text())
    kept["run.json"] = {key: about.get(key) for key in ("best", "epochs", "log_likelihood", "measures", "music", "model", "steps", "status", "seed")}
    kept["events"] = curves(Path(run))
    return kept


def outcomes(sweep):
    return {run.parent.name: outcome(run.parent) for run in Path(sweep).glob("*/run.json")}


def check_same(found, expected):
    require(sorted(found) == sorted(expected), "other files:", sorted(found), "expected", sorted(expected))
    for name in expected:
        if isinstance(expected[name], dict) and name not in ("run.json", "events"):
            check_same(found[name], expected[name])
        elif name == "run.json":
            require(found[name] == expected[name], "run.json differs:", [key for key in expected[name] if found[name][key] != expected[name][key]])
        else:
            require(found[name] == expected[name], name, "differs from that of the run that was never disturbed")


def saved_epoch(run):
    """How many epochs the checkpoint that a run would go on from has; -1: there is none."""
    folder = Path(run) / "checkpoints"
    if not (folder / "last.safetensors").exists():
        return -1
    whole = safetensors_id(folder / "last.safetensors") == safetensors_id(folder / "last.state.safetensors")
    _, about = cli.read_tensors(folder / ("last.state.safetensors" if whole else "last.previous.state.safetensors"))
    return int(about["epoch"])


def epochs_said(text):
    return [int(number) for number in re.findall(r"(?m)^epoch (\d+): train loss", text)]


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < until, "waited too long")
        time.sleep(0.005)
