#!/usr/bin/python3
"""check_midi_with_mido.py POPH FILE.mid..: compares `POPH inspect FILE --json` with MODEL.md "Piano roll" written down a second time.

Nothing is shared with our reader: mido reads the bytes, and the roll is worked out tick by tick from dictionaries. Exit status
0: all agree, 1: some do not, 77: mido is not installed (meson reads that as a skipped test).
"""
import json
import subprocess
import sys

try:
    import mido
except ImportError:
    print("skipped: python3-mido is not installed")
    sys.exit(77)

DEFAULTS = {"lowest_note": 36, "notes": 48, "steps_per_quarter": 4, "percussion": False, "sustain": False, "quantize": "nearest"}
SETTINGS = [
    {},
    {"lowest_note": 48, "notes": 24, "quantize": "floor"},
    {"lowest_note": 0, "notes": 128, "percussion": True},
    {"lowest_note": 21, "notes": 88, "sustain": True, "steps_per_quarter": 3},
]


def notes_of(tracks, settings, division):
    """[(onset, end, pitch, velocity)] of tracks that play together: their events one by one, in the order in which they happen."""
    events, last = [], 0
    for number, track in enumerate(tracks):
        tick = 0
        for place, message in enumerate(track):
            tick += message.time
            if not message.is_meta and hasattr(message, "channel") and (message.channel != 9 or settings["percussion"]):
                events.append((tick, number, place, message))
        events.append((tick, number, len(track), None))  # its end
        last = max(last, tick)
    notes, sounding, pedal = [], {}, {}  # sounding: {(track, channel, pitch): [onset, velocity, key down, tick of a re-strike]}

    def end(tick, wanted):
        for key in [key for key in sounding if wanted(key)]:
            onset, velocity = sounding.pop(key)[:2]
            notes.append((onset, tick, key[2], velocity))

    for tick, number, _, message in sorted(events, key=lambda event: event[:3]):
        if message is None:
            end(tick, lambda key: key[0] == number and sounding[key][2])
        elif message.type == "control_change":
            if message.control in (120, 123):
                end(tick, lambda key: key[1] == message.channel)
            if message.control == 121 or (message.control == 64 and message.value < 64):
                pedal[message.channel] = False
                end(tick, lambda key: key[1] == message.channel and not sounding[key][2])
            elif message.control == 64:
                pedal[message.channel] = settings["sustain"]
        elif message.type in ("note_on", "note_off"):
            key = (number, message.channel, message.note)
            before = sounding.get(key)
            if message.type == "note_on" and message.velocity > 0:
                end(tick, lambda one: one == key)
                sounding[key] = [tick, message.velocity, True, tick if before and before[2] else None]
            elif before and before[2]:
                restruck, before[3] = before[3], None
                if restruck is not None and (tick - restruck) * 2 * settings["steps_per_quarter"] < division:
                    continue  # the earlier note's, late
                before[2] = False
                if not pedal.get(message.channel):
                    end(tick, lambda one: one == key)
    end(last, lambda key: True)
    return notes


def roll_of(path, **changed):
    """{(step, note): (velocity, replay)}, the number of steps, the number of dropped notes."""
    settings = {**DEFAULTS, **changed}
    midi = mido.MidiFile(path)
    q, r = settings["steps_per_quarter"], midi.ticks_per_beat
    volume, begins, dropped, steps = {}, set(), 0, 0
    for tracks in [[track] for track in midi.tracks] if midi.type == 2 else [midi.tracks]:
        start = -(-steps // (4 * q)) * 4 * q
        for onset, end, pitch, velocity in notes_of(tracks, settings, r):
            note = pitch - settings["lowest_note"]
            if not 0 <= note < settings["notes"]:
                dropped += 1
            elif end > onset:
                nearest = settings["quantize"] == "nearest"
                first = (2 * onset * q + r) // (2 * r) if nearest else onset * q // r
                until = max(first + 1, (2 * end * q + r) // (2 * r)) if nearest else -(-end * q // r)
                begins.add((start + first, note))
                for step in range(start + first, start + until):
                    volume[step, note] = max(volume.get((step, note), 0), velocity)
                steps = max(steps, start + until)
    cells = {(step, note): (velocity, (step, note) in begins and (step - 1, note) in volume) for (step, note), velocity in volume.items()}
    return cells, steps, dropped


def expected(path, changed):
    cells, steps, dropped = roll_of(path, **changed)
    return {"steps": steps, "sounding_cells": len(cells), "replays": sum(replay for _, replay in cells.values()),
            "volume_sum": sum(velocity for velocity, _ in cells.values()) / 127, "dropped_notes": dropped}


def overrides(changed):
    return ["data.%s=%s" % (key, str(value).lower()) for key, value in changed.items()]


def main(poph, files):
    wrong = compared = refused = 0
    for path in files:
        for changed in SETTINGS:
            try:
                want = expected(path, changed)
            except (OSError, EOFError, ValueError, IndexError, KeyError) as error:  # mido's ways to refuse a file
                print("%s: mido cannot read it: %s" % (path, error))
                refused += 1
                break
            run = subprocess.run([poph, "inspect", path, "--json", *overrides(changed)], capture_output=True, text=True)
            got = json.loads(run.stdout) if run.returncode == 0 else {}
            differ = [key for key in want if abs(got.get(key, -1) - want[key]) > 1e-9 * max(1, want[key])]
            compared += 1
            if differ:
                wrong += 1
                print("%s %s: %s" % (path, overrides(changed), run.stderr.strip() or
                                     ", ".join("%s is %s, expected %s" % (key, got.get(key), want[key]) for key in differ)))
    print("%d rolls compared, %d differ, %d files that mido refuses" % (compared, wrong, refused))
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: check_midi_with_mido.py POPH FILE.mid..")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
