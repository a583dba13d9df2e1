#!/usr/bin/env python3
"""check_readers.py BUILD [FOLDER..]: the notes of every MIDI file as PopH reads them, beside those of symusic and pretty_midi.

Looks through data/corpus, ../shared/data where that is, and the folders. Compares pitch, velocity, onset and end in ticks, and
whether the channel is that of the drums (more the two do not tell), before any rounding. Each difference is put into a class of
CLASSES, which says why it is right; one that fits none fails. Needs `list_notes` (ninja -C BUILD list_notes); symusic and pretty_midi
are compared where they are installed. Exit code 77 (skipped) where neither is.
"""
import collections
import subprocess
import sys
import warnings
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent

CLASSES = {
    "no length": "a note whose note-off comes at the tick of its note-on sounds nowhere; PopH lists it, others drop it",
    "struck again": "a key that is struck again while it is down ends the note before, as on a piano; others let that one sound until a later note-off",
    "late note-off": "a note-off less than half a step behind a re-strike is the earlier note's, so the new note sounds on; others end the new one",
    "in turn": "the other gives a note-off to the oldest note-on that has none: behind a re-strike, ends move on by one note",
    "left on": "a note without a note-off ends with its track; others drop it",
    "all notes off": "controllers 120 and 123 end the notes of their channel; others do not read them",
}
HALF_STEP = 1 / 8  # of a quarter note, with the default of four steps


def poph_notes(program, paths):
    """{path: (notes, ends, offs)} or {path: message}; a note is (track, channel, pitch, velocity, onset, end)."""
    said = subprocess.run([program], input="\n".join(map(str, paths)) + "\n", capture_output=True, text=True, check=True).stdout
    files, now = {}, None
    for line in said.splitlines():
        kind, rest = line.split(" ", 1)
        if kind == "file":
            now = files[rest] = ([], {}, [])
        elif kind == "refused":
            files[rest.split(": ", 1)[0]] = rest
        else:
            numbers = tuple(map(int, rest.split()))
            if kind == "note":
                now[0].append(numbers)
            elif kind == "end":
                now[1][numbers[0]] = numbers[1]
            else:
                now[2].append(numbers)
    return files


def symusic_notes(path):
    import symusic
    score = symusic.Score(path)
    return score.ticks_per_quarter, [(t.is_drum, n.pitch, n.velocity, n.time, n.time + n.duration) for t in score.tracks for n in t.notes]


def pretty_midi_notes(path):
    import pretty_midi
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        midi = pretty_midi.PrettyMIDI(str(path))
    tick = midi.time_to_tick
    return midi.resolution, [(i.is_drum, n.pitch, n.velocity, tick(n.start), tick(n.end)) for i in midi.instruments for n in i.notes]


def classify(difference, ours, ends, offs, division, theirs):
    """The class of a note that PopH and another reader end differently, or that one of them lacks; None where there is none."""
    note, their_end = difference
    track, channel, pitch, velocity, onset, end = note
    voice = [n for n in ours if n[:3] == note[:3]]
    if onset == end:
        return "no length"
    if (channel, end) in offs:
        return "all notes off"
    if any(n[4] == end for n in voice if n is not note):
        return "struck again"
    if their_end is not None and their_end < end and any(n[5] == onset for n in voice if n is not note) and (their_end - onset) < division * HALF_STEP:
        return "late note-off"
    if any(other[0] <= onset <= other[1] and other != (onset, their_end) for other in theirs[(channel == 9, pitch)]):
        return "in turn"
    if end == ends[track]:
        return "left on"
    return None


def compare(path, ours, ends, offs, division, theirs, counts):
    """Adds to counts. The lines of differences that have no class."""
    by_key = collections.defaultdict(lambda: ([], []))
    for note in ours:
        by_key[(note[1] == 9, note[2], note[3], note[4])][0].append(note)
    open_for = collections.defaultdict(list)
    for drum, pitch, velocity, onset, end in theirs:
        by_key[(drum, pitch, velocity, onset)][1].append(end)
        open_for[(drum, pitch)].append((onset, end))
    unnamed = []
    for key, (mine, other) in by_key.items():
        mine = sorted(mine, key=lambda n: n[5])
        other = sorted(other)
        for note in list(mine):
            if note[5] in other:
                other.remove(note[5])
                mine.remove(note)
                counts["the same"] += 1
        for note in mine:
            their_end = other.pop(0) if other else None
            found = classify((note, their_end), ours, ends, set(offs), division, open_for)
            counts[found or "unnamed"] += 1
            if not found:
                unnamed.append("%s: %s, ends for the other at %s" % (path, note, their_end))
        for end in other:
            counts["unnamed"] += 1
            unnamed.append("%s: PopH lacks %s to %s" % (path, key, end))
    return unnamed


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: check_readers.py BUILD [FOLDER..]")
    readers = {}
    for name, read in (("symusic", symusic_notes), ("pretty_midi", pretty_midi_notes)):
        try:
            __import__(name)
            readers[name] = read
        except ImportError:
            print("%s is not installed: not compared" % name)
    if not readers:
        print("0 passed, 0 failed, 1 skipped")
        return 77
    folders = [SOURCE / "data/corpus", SOURCE.parent / "shared/data", *map(Path, sys.argv[2:])]
    paths = sorted(path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    files = poph_notes(Path(sys.argv[1]) / "list_notes", paths)
    unnamed = []
    for name, read in readers.items():
        counts, refused = collections.Counter(), []
        for path in paths:
            ours = files[str(path)]
            try:
                division, theirs = read(path)
            except Exception as error:  # whatever a reader raises at a file that it does not take
                refused.append("%s: %s" % (path, error))
                continue
            if isinstance(ours, str):
                refused.append(ours)
                continue
            unnamed += ["%s: %s" % (name, line) for line in compare(path, *ours, division, theirs, counts)]
        print("%s: %d files, %d notes" % (name, len(paths) - len(refused), sum(counts.values())))
        for kind in ["the same", *CLASSES, "unnamed"]:
            print("  %8d  %s%s" % (counts[kind], kind, ": " + CLASSES[kind] if kind in CLASSES else ""))
        for line in refused[:10]:
            print("  refused by one of the two:", line)
    for line in unnamed[:20]:
        print(line)
    print("%d passed, %d failed, 0 skipped" % (len(readers), len(unnamed)))
    return 1 if unnamed else 0


if __name__ == "__main__":
    sys.exit(main())
