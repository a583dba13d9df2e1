#!/usr/bin/env python3
"""check_bars.py BUILD: the bars of the bundled pieces as music21 and MuseScore read them are those that poph inspect tells.

A notation program shows the bars of a file's time signatures. Exit code 77 (skipped) where neither of the two is installed.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent.parent / "data/corpus"
MUSESCORE = next(filter(None, map(shutil.which, ("mscore3", "musescore3", "mscore", "musescore", "mscore4portable"))), None)


def bars_of_music21(path):
    """(time signatures, number of bars) of the first part."""
    from music21 import converter, meter
    part = converter.parse(path).parts[0]
    return [s.ratioString for s in part.recurse().getElementsByClass(meter.TimeSignature)], len(part.getElementsByClass("Measure"))


def bars_of_musescore(path):
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "piece.musicxml"
        subprocess.run([MUSESCORE, "-o", written, path], check=True, capture_output=True,
                       env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": folder, "HOME": folder})
        part = written.read_text().split("<part id=")[1]
    return ["/".join(found) for found in re.findall(r"<beats>(\d+)</beats>\s*<beat-type>(\d+)</beat-type>", part)], part.count("<measure ")


def main():
    readers = {}
    try:
        import music21  # noqa: F401
        readers["music21"] = bars_of_music21
    except ImportError:
        print("music21 is not installed")
    if MUSESCORE:
        readers["MuseScore"] = bars_of_musescore
    else:
        print("MuseScore is not installed")
    failed = compared = 0
    for path in sorted(CORPUS.glob("*.mid")):
        said = json.loads(subprocess.run([Path(sys.argv[1]) / "poph", "inspect", path, "--json", "data.lowest_note=0", "data.notes=128"],
                                         capture_output=True, text=True, check=True).stdout)
        numerator, denominator = map(int, said["meters"].split("/"))
        wanted = [said["meters"]], -(-said["steps"] * denominator // (16 * numerator))
        for name, read in readers.items():
            compared += 1
            if (found := read(path)) != wanted:
                print("%s: %s has %s and %d bars, PopH %s and %d" % (path.name, name, *found, *wanted))
                failed += 1
    print("%d passed, %d failed, %d skipped" % (compared - failed, failed, not readers))
    return 1 if failed else 0 if compared else 77


if __name__ == "__main__":
    sys.exit(main())
