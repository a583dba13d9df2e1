#!/usr/bin/env python3
"""Other readers of MIDI files, from a folder of files to notes with lengths; tests/bench/run is what people call.

Each line of standard input asks for one reading of every n-th file, and is answered by a line of JSON.
"""
import argparse
import importlib.metadata
import json
import pathlib
import resource
import sys
import time


def symusic_notes():
    from symusic import Score
    return lambda path: Score(path).note_num()


def pretty_midi_notes():
    from pretty_midi import PrettyMIDI
    return lambda path: sum(len(instrument.notes) for instrument in PrettyMIDI(path).instruments)


def mido_notes():
    """mido gives messages: a note ends with the first note-off, or note-on without velocity, of its channel and pitch."""
    from mido import MidiFile

    def read(path):
        notes = []
        for track in MidiFile(path).tracks:
            tick, sounding = 0, {}
            for message in track:
                tick += message.time
                if message.type == "note_on" and message.velocity:
                    sounding.setdefault((message.channel, message.note), []).append((tick, message.velocity))
                elif message.type in ("note_on", "note_off") and sounding.get((message.channel, message.note)):
                    start, velocity = sounding[message.channel, message.note].pop(0)
                    notes.append((start, tick, message.note, velocity))
        return len(notes)

    return read


READERS = {"symusic": symusic_notes, "pretty_midi": pretty_midi_notes, "mido": mido_notes}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    notes_of = READERS[args.reader]()
    files = sorted(str(path) for path in args.folder.rglob("*") if path.suffix in (".mid", ".midi"))
    print(json.dumps({"who": f"{args.reader} {importlib.metadata.version(args.reader)}", "files": len(files)}), flush=True)
    for line in sys.stdin:
        chosen = files[:: int(line)]
        size = sum(pathlib.Path(path).stat().st_size for path in chosen)
        used, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        found = sum(notes_of(path) for path in chosen)
        wall, now = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        print(json.dumps({"wall": wall, "cpu": cpu, "found": found, "bytes": size}), flush=True)


if __name__ == "__main__":
    main()
