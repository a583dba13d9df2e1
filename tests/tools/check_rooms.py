#!/usr/bin/env python3
"""check_rooms.py: the rules of CONTRIBUTING.md, "Rooms", held against the includes of every source file that git knows.

A room is a folder of code. It includes only rooms that stand above it in ROOMS, and fewer where NARROWER says so. A library that is hard to
keep out of the way has one room (ONE_ROOM). Folders, files and lines have a size. Prints each break with its file and line, and exits 1.
"""
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOMS = ["tensor/cpu", "tensor", "autograd", "data/files", "data/music", "data/reading", "data/measures", "data", "nn/blocks", "nn"] + \
    ["experiments/" + room for room in ("config", "media", "workspace", "train", "compose", "report", "play", "run", "sweep", "programs")]
NARROWER = {  # the rooms of this list that a room may include, where that is less than all above it
    "data/files": {"tensor"},
    "data/music": {"tensor", "data/files"},
    "data/reading": {"tensor", "data/files", "data/music"},
    "data/measures": {"tensor", "data/files", "data/music", "data/reading"},
    "data": {"tensor", "data/files", "data/music", "data/reading"},
    "nn/blocks": {"tensor", "autograd", "data/measures", "nn"},
    "nn": {"tensor", "autograd", "data", "data/files", "data/measures", "nn/blocks"},
    "experiments/config": {"tensor", "data/files", "data/music", "data/reading", "data/measures", "data", "nn", "nn/blocks"},
    "experiments/media": {"tensor", "data/files", "data/music", "data"},
    "experiments/report": {"tensor", "data/files", "data/music", "data/measures", "data", "nn", "experiments/config", "experiments/media",
                           "experiments/workspace"},
    "experiments/play": {"tensor", "data/files", "data/music", "data/reading", "data/measures", "data", "nn", "experiments/config",
                         "experiments/media", "experiments/workspace", "experiments/compose"},
}
# The formulas that the C++ compiler's own kernels share with the .cu files lie in tensor/, so these two read each other.
BOTH_WAYS = {("tensor/cpu", "tensor"), ("tensor", "tensor/cpu"), ("nn/blocks", "nn"), ("nn", "nn/blocks")}
ONLY_FROM = {"tensor/cpu": {"tensor", "tensor/cpu"}}
ONE_ROOM = {"toml++/": "experiments/config", "archive.h": "data/reading", "archive_entry.h": "data/reading", "CLI/": "experiments/programs", "httplib.h": "experiments/play",
            "thrust/": "tensor", "cublas_v2.h": "tensor"}
MAX_FILES, MAX_LINES, MAX_COLUMNS = 35, 400, 120


def room_of(path):
    folder = str(Path(path).parent)
    return folder if folder in ROOMS else None


def faults(path, text):
    room, tests = room_of(path), path.startswith("tests/")
    lines = text.splitlines()
    if len(lines) > MAX_LINES and not tests:
        yield 1, "%d lines, expected at most %d" % (len(lines), MAX_LINES)
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            yield number, "%d columns, expected at most %d" % (len(line), MAX_COLUMNS)
        found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not found:
            continue
        name = found[1]
        if name.startswith("tests/") and not tests:
            yield number, "the product includes %s of the tests" % name
        if tests:
            continue
        other = room_of(name)
        if other and room and other != room:
            allowed = NARROWER.get(room, set(ROOMS[:ROOMS.index(room)]))
            if (room, other) not in BOTH_WAYS and (other not in allowed or room not in ONLY_FROM.get(other, {room})):
                yield number, "%s includes %s: the room %s may not include %s" % (path, name, room, other)
        for library, owner in ONE_ROOM.items():
            if name.startswith(library) and room != owner and not (owner == "tensor" and room == "tensor/cpu"):
                yield number, "%s is for %s alone" % (name, owner)


source = Path(__file__).resolve().parent.parent.parent
files = subprocess.run(["git", "-C", source, "ls-files", "*.h", "*.cpp", "*.cu"], capture_output=True, text=True, check=True).stdout.split()
files = [path for path in files if (source / path).exists()]
broken = 0
for path in files:
    for line, fault in faults(path, (source / path).read_text()):
        print("%s:%d: %s" % (path, line, fault))
        broken += 1
sizes = Counter(room_of(path) for path in files)
for room, count in sizes.items():
    if room and count > MAX_FILES:
        print("%s: %d code files, expected at most %d" % (room, count, MAX_FILES))
        broken += 1
homeless = [path for path in files if not room_of(path) and not path.startswith(("tests/", "data/corpus/", "experiments/precompiled.h"))]
for path in homeless:
    print("%s: lies in no room" % path)
print("%d passed, %d failed, 0 skipped" % (len(files) - broken if broken < len(files) else 0, broken + len(homeless)))
sys.exit(bool(broken or homeless or not files))
