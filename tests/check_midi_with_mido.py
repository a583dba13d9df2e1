#!/usr/bin/python3
"""check_midi_with_mido.py POPH FILE.mid..: compares `POPH inspect FILE --json` with SPEC 1 written down a second time.

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

DEFAULTS = {"lowest_note": 36, "notes": 48, "steps_per_quarter": 4, "percussion": False, "sustain": False}
SETTINGS = [
    {},
    {"lowest_note": 48, "notes": 24},
    {"lowest_note": 0, "notes": 128, "percussion": True},
    {"lowest_note": 21, "notes": 88, "sustain": True, "steps_per_quarter": 3},
]


def parts_of(midi, settings):
    """Tracks, or the channels of a format-0 file, as (end tick, [(tick, message)])."""
    for track in midi.tracks:
        tick, parts = 0, {}
        for message in track:
            tick += message.time
            if message.is_meta or not hasattr(message, "channel"):
                continue
            if message.channel == 9 and not settings["percussion"]:
                continue
            parts.setdefault(message.channel if midi.type == 0 else 0, []).append((tick, message))
        yield from ((tick, events) for events in parts.values())


def velocities_of(events, end_tick, settings):
    """Per pitch: {tick: what sounds from that tick on}, and the ticks of its note-ons."""
    sounds, strikes, pedal, held = {}, {}, {}, {}
    now = {}
    for tick, message in events:
        if message.type == "control_change" and message.control == 64 and settings["sustain"]:
            pedal[message.channel] = message.value >= 64
            if not pedal[message.channel]:
                for pitch in [p for p, channel in held.items() if channel == message.channel]:
                    del held[pitch]
                    now[pitch] = sounds[pitch][tick] = 0
        elif message.type == "note_on" and message.velocity > 0:
            held.pop(message.note, None)
            strikes.setdefault(message.note, []).append(tick)
            now[message.note] = sounds.setdefault(message.note, {})[tick] = message.velocity
        elif message.type in ("note_on", "note_off") and now.get(message.note, 0) > 0:
            if pedal.get(message.channel):
                held[message.note] = message.channel
            else:
                held.pop(message.note, None)
                now[message.note] = sounds[message.note][tick] = 0
    for changes in sounds.values():
        changes[end_tick] = 0
    return sounds, strikes


def roll_of(path, **changed):
    """{(step, note): (velocity, replay)}, the number of steps, the number of dropped notes."""
    settings = {**DEFAULTS, **changed}
    midi = mido.MidiFile(path)
    per_quarter, division = settings["steps_per_quarter"], midi.ticks_per_beat
    volume, replay, dropped = {}, set(), 0
    for end_tick, events in parts_of(midi, settings):
        sounds, strikes = velocities_of(events, end_tick, settings)
        for pitch, changes in sounds.items():
            note = pitch - settings["lowest_note"]
            if not 0 <= note < settings["notes"]:
                dropped += len(strikes[pitch])
                continue
            mine = {}
            ticks = sorted(changes)
            for tick, until in zip(ticks, ticks[1:]):
                for step in range(tick * per_quarter // division, (until - 1) * per_quarter // division + 1):
                    mine[step] = max(mine.get(step, 0), changes[tick])
            mine = {step: velocity for step, velocity in mine.items() if velocity > 0}
            for step, velocity in mine.items():
                volume[step, note] = min(127, volume.get((step, note), 0) + velocity)
            for tick in strikes[pitch]:
                step = tick * per_quarter // division
                if step in mine and step - 1 in mine:
                    replay.add((step, note))
    cells = {at: (velocity, at in replay) for at, velocity in volume.items()}
    return cells, max((step for step, _ in cells), default=-1) + 1, dropped


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
