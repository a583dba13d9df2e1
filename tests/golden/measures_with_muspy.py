#!/usr/bin/env python3
"""measures_with_muspy.py > measures.json: what muspy 0.5.0 measures on bundled pieces and on notes made for its quirks; and their keys by
the profiles of music21, which muspy brings along, correlated by numpy.

Needs `pip install muspy==0.5.0` in an environment of its own; the tests read the file alone. Time steps are sixteenths, a bar has 16.
"""
import json
import math
import random
from pathlib import Path

import muspy
import numpy
from music21.analysis import discrete

CORPUS = Path(__file__).resolve().parent.parent.parent / "data/corpus"
PIECES = ["bach_prelude_bwv846", "beethoven_ode_to_joy", "bourgeois_old_hundredth", "mozart_k331_theme", "satie_gymnopedie_1"]
BAR = 16
PROFILES = {"krumhansl": discrete.KrumhanslKessler, "temperley": discrete.TemperleyKostkaPayne, "aarden": discrete.AardenEssen,
            "bellman": discrete.BellmanBudge, "simple": discrete.SimpleWeights}


def number(x):
    return None if math.isnan(x) else float(x)


def measures(music):
    found = {name: number(getattr(muspy, function)(music, *words)) for name, function, *words in (
        ("pitch_range", "pitch_range"), ("pitches_used", "n_pitches_used"), ("pitch_classes_used", "n_pitch_classes_used"),
        ("pitch_entropy", "pitch_entropy"), ("pitch_class_entropy", "pitch_class_entropy"), ("scale_consistency", "scale_consistency"),
        ("polyphony", "polyphony"), ("polyphony_rate", "polyphony_rate"), ("empty_beat_rate", "empty_beat_rate"),
        ("empty_bar_rate", "empty_measure_rate", BAR), ("groove_consistency", "groove_consistency", BAR))}
    found["notes"] = float(sum(len(track) for track in music.tracks))
    found["in_scale"] = [number(muspy.pitch_in_scale_rate(music, root, mode)) for mode in ("major", "minor") for root in range(12)]
    return found


def keys(music):
    """{profile: [r of the 12 major keys, then of the 12 minor ones]}, of the durations."""
    histogram = numpy.zeros(12)
    for track in music.tracks:
        for note in track.notes:
            histogram[note.pitch % 12] += note.duration
    with numpy.errstate(invalid="ignore"):
        return {name: [number(numpy.corrcoef(histogram, numpy.roll(profile().getWeights(mode), tonic))[0, 1])
                       for mode in ("major", "minor") for tonic in range(12)] for name, profile in PROFILES.items()}


def of_file(name):
    music = muspy.read_midi(CORPUS / f"{name}.mid")
    music.adjust_resolution(4)
    return {"file": f"{name}.mid", "measures": measures(music), "keys": keys(music)}


def of_notes(notes):
    track = muspy.Track(notes=[muspy.Note(time=time, pitch=pitch, duration=duration, velocity=64) for time, duration, pitch in notes])
    music = muspy.Music(resolution=4, tracks=[track])
    return {"notes": notes, "measures": measures(music), "keys": keys(music)}


def chance(seed):
    """Notes anywhere, none over another of its pitch."""
    rng, notes = random.Random(seed), []
    for pitch in rng.sample(range(128), 9):
        time = rng.randrange(20)
        while time < 150:
            duration = rng.randrange(1, 12)
            notes.append([time, duration, pitch])
            time += duration + rng.choice([0, 0, 3, 30])
    return notes


CASES = {
    "made_by": f"muspy {muspy.__version__}, tests/golden/measures_with_muspy.py",
    "pieces": [of_file(name) for name in PIECES],
    "nothing": of_notes([]),
    "one step": of_notes([[0, 1, 60]]),
    "ends before a bar line": of_notes([[0, 15, 60]]),
    "ends on a bar line: one bar more": of_notes([[0, 8, 60], [20, 12, 127]]),
    "an end touches the next bar": of_notes([[0, 16, 60], [40, 2, 64]]),
    "an end does not reach the next bar": of_notes([[0, 15, 60], [40, 2, 64]]),
    "silence first": of_notes([[37, 3, 0], [37, 5, 12]]),
    "three at once count, two do not": of_notes([[0, 4, 60], [0, 4, 64], [2, 2, 67], [4, 4, 60]]),
    "struck again": of_notes([[0, 4, 60], [4, 4, 60], [8, 4, 60], [16, 4, 60]]),
    "minor beats major": of_notes([[0, 1, 57], [1, 1, 59], [2, 1, 60], [3, 1, 62], [4, 1, 64], [5, 1, 65], [6, 1, 67]]),
    "all twelve": of_notes([[i, 1, 60 + i] for i in range(12)]),
    "chance": of_notes(chance(1)),
    "more chance": of_notes(chance(2)),
}
print("{" + ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in CASES.items()) + "}")
