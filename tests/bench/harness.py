"""What the measurements of tests/bench/run share: the peers' packages, processes that take turns, statistics and the table."""
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / os.environ.get("POPH_BUILD", "build")
VENV = pathlib.Path(os.environ.get("POPH_BENCH_VENV", BUILD / "bench-venv")).absolute()
PINNED = {"torch": "2.15.0", "symusic": "0.6.0", "mido": "1.3.3", "pretty_midi": "0.2.11.post0", "numpy": "2.4.6"}
# glibc gives large blocks back to the system and asks for them anew in each step; a process told not to runs faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}


class Failed(Exception):
    """A process that ended before it had answered; one line says why."""


def say(*words):
    print("run:", *words, file=sys.stderr, flush=True)


def last_line(text):
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


class Peers:
    """The virtual environment that other people's programs are installed in, when they are first asked for."""

    def __init__(self):
        self.python, self.found = VENV / "bin/python", {}

    def has(self, package):
        if package not in self.found:
            problem = self.install(package)
            self.found[package] = not problem
            if problem:
                say(f"no {package} to compare with: {problem}")
        return self.found[package]

    def install(self, package):  # what went wrong, if anything
        if not self.python.exists():
            made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
            if made.returncode:
                return "no virtual environment could be made in " + str(VENV) + " (Debian: apt-get install python3-venv)"
        if not subprocess.run([self.python, "-c", f"import {package}"], capture_output=True).returncode:
            return None
        wanted = [f"{name}=={PINNED[name]}" for name in (package, "numpy")]  # numpy: what the others take along
        say("installing", *wanted, "in", VENV)
        done = subprocess.run([self.python, "-m", "pip", "install", "--disable-pip-version-check", *wanted], capture_output=True, text=True)
        return "pip: " + last_line(done.stderr) if done.returncode else None


class Server:
    """A program that makes one measurement for each line it is sent. It may use the first `threads` processors."""

    def __init__(self, command, args, environment={}):
        processors = ",".join(map(str, sorted(os.sched_getaffinity(0))[: args.threads]))
        self.errors = tempfile.TemporaryFile("w+")
        self.name = pathlib.Path(str(command[0])).name
        self.process = subprocess.Popen(["taskset", "-c", processors, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=os.environ | environment,
                                        preexec_fn=None if args.device == "cuda" else keep_to_free_memory)
        self.about = self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            raise Failed(f"{self.name} ended with status {status}: {last_line(self.errors.read())}")
        return json.loads(line)

    def ask(self, request=""):
        try:
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # line() tells why
        return self.line()

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:  # it ended by itself, which was said where it was asked
            pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def free_bytes():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


def keep_to_free_memory():
    """In the child: what does not fit fails by itself, and takes nothing else of this machine with it."""
    limit = int(0.95 * free_bytes())
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def answers(server, request, repeats, seconds):
    """A server's answers by itself: as many as fit, at least one. The first finds cold memory and does not count, unless only one is wanted."""
    found = [server.ask(request)]
    begun = time.monotonic()
    if repeats > 1:
        found = []
    while len(found) < repeats and (not found or time.monotonic() - begun < seconds):
        found.append(server.ask(request))
    return found


def take_turns(servers, request, repeats, seconds):
    """{name: answers}, one of each server in turn, as `answers` has it. A server that fails is left out from there on."""
    found = {}
    for name, server in servers.items():
        try:
            found[name] = [server.ask(request)]
        except Failed as failure:
            if name == "PopH":
                raise
            say(f"{name} is left out: {failure}")
    begun = time.monotonic()
    if repeats > 1:
        found = {name: [] for name in found}
    while len(found["PopH"]) < repeats and (not found["PopH"] or time.monotonic() - begun < seconds):
        for name in found:
            found[name].append(servers[name].ask(request))
    return found


def quartiles(values):
    """Lower quartile, median, upper quartile."""
    return tuple(statistics.quantiles(values, n=4, method="inclusive")) if len(values) > 1 else (values[0],) * 3


@dataclasses.dataclass
class Row:
    section: str
    what: str
    unit: str
    ours: dict                    # "wall", and for times "cpu": values in the unit
    peer: dict = None             # the same; a published figure is one value
    peer_name: str = ""
    floor: float = None           # in the unit
    threads: int = 1
    load: list = dataclasses.field(default_factory=lambda: [round(x, 2) for x in os.getloadavg()])

    def better(self, a, b):
        """How many times better b is than a."""
        return b / a if self.unit.endswith("/s") else a / b

    def ratio(self, clock):
        if not self.peer or clock not in self.ours or clock not in self.peer:
            return None
        ours, peer = self.ours[clock], self.peer[clock]
        if len(ours) == len(peer):  # made in turn
            return quartiles([self.better(b, a) for a, b in zip(ours, peer)])
        return (self.better(quartiles(peer)[1], quartiles(ours)[1]),) * 3

    def share(self, clock):
        """Of the floor: 1 would be all that the machine can do. CPU time is that of all threads."""
        if self.floor is None or clock not in self.ours:
            return None
        return self.better(self.floor, quartiles(self.ours[clock])[1]) * (self.threads if clock == "cpu" else 1)

    def as_json(self):
        return dataclasses.asdict(self) | {f"{what}_{clock}": getattr(self, what)(clock) for what in ("ratio", "share") for clock in ("wall", "cpu")}


def number(value):
    if value is None:
        return ""
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 4
    return f"{value:.{digits}f}"


def spread(values):
    if not values:
        return ""
    low, middle, high = quartiles(values)
    return number(middle) if len(values) == 1 else f"{number(middle)} ({number(low)} - {number(high)})"


def table(rows):
    head = ["what", "unit", "PopH", "CPU", "peer", "CPU", "ratio", "by CPU", "floor", "share", "by CPU", "which peer"]
    lines = []
    for row in rows:
        two = lambda value: "" if value is None else f"{value:.2f}"
        middle = lambda value: "" if value is None else f"{value[1]:.2f}"
        peer = row.peer or {}
        lines.append([row.what, row.unit, spread(row.ours["wall"]), number(quartiles(row.ours["cpu"])[1]) if "cpu" in row.ours else "",
                      spread(peer.get("wall")), number(quartiles(peer["cpu"])[1]) if "cpu" in peer else "", middle(row.ratio("wall")),
                      middle(row.ratio("cpu")), number(row.floor), two(row.share("wall")), two(row.share("cpu")), row.peer_name])
    widths = [max(len(line[i]) for line in [head] + lines) for i in range(len(head))]
    text = lambda cells: "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([text(head), "| " + " | ".join("-" * width for width in widths) + " |"] + [text(line) for line in lines])


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown processor")
