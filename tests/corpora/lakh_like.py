#!/usr/bin/env python3
"""lakh_like.py OUT [--files N] [--seed S] [--pieces FOLDER ..] [--forms tar.gz,zip,folder]: a corpus like Lakh's, to try a reader on.

Makes OUT.tar.gz, OUT.zip and the folder OUT with the same N files, lmd_full/<first hex digit>/<md5>.mid in no order, as Lakh has them, and
OUT.jsonl with a line a file: its path, the piece it is of, and `damage`: "none", or what was done to it. The pieces are the bundled ones
and those of the folders given: transposed, cut at a random place, and about one file in four damaged in one of the ways that real
collections have. The same arguments give the same bytes. Standard library only.
"""
import argparse
import bisect
import gzip
import hashlib
import io
import json
import random
import struct
import tarfile
import zipfile
from pathlib import Path

BUNDLED = Path(__file__).resolve().parent.parent.parent / "data" / "corpus"
END = b"\x00\xff\x2f\x00"


def quantity(data, at):
    value = 0
    for i in range(4):
        value = value << 7 | data[at + i] & 127
        if data[at + i] < 128:
            return value, at + i + 1
    raise ValueError("a quantity of more than 4 bytes")


def spelt(value):
    made = [value & 127]
    while value := value >> 7:
        made.insert(0, value & 127 | 128)
    return bytes(made)


class Track:
    """A track's events: where each begins, at which tick, and where pitches lie."""

    def __init__(self, data):
        self.data, self.starts, self.ticks, self.keys, self.stop = data, [], [], [], len(data)
        at = tick = status = 0
        while at < len(data):
            start = at
            delta, at = quantity(data, at)
            tick += delta
            if data[at] == 0xFF:
                kind = data[at + 1]
                length, at = quantity(data, at + 2)
                at += length
                if kind == 0x2F:
                    self.stop = start
                    break
            elif data[at] in (0xF0, 0xF7):
                length, at = quantity(data, at + 1)
                at += length
            else:
                if data[at] >= 0x80:
                    status = data[at]
                    at += 1
                if status >> 4 in (8, 9, 10) and status & 15 != 9:
                    self.keys.append(at)
                at += 1 if status >> 4 in (12, 13) else 2
            self.starts.append(start)
            self.ticks.append(tick)

    def transposed(self, by):
        data = bytearray(self.data)
        for at in self.keys:
            data[at] = min(127, max(0, data[at] + by))
        return bytes(data)

    def until(self, data, tick):
        """The events before a tick, without the end of the track."""
        first = bisect.bisect_left(self.ticks, tick)
        return data[:self.starts[first] if first < len(self.starts) else self.stop]


class Piece:
    def __init__(self, path):
        data = path.read_bytes()
        if data[:4] != b"MThd":
            raise ValueError("no MIDI file")
        self.name, self.format, self.division = path.name, *struct.unpack(">HxxH", data[8:14])
        self.tracks, at = [], 8 + struct.unpack(">I", data[4:8])[0]
        while at + 8 <= len(data):
            length = struct.unpack(">I", data[at + 4:at + 8])[0]
            if data[at:at + 4] == b"MTrk":
                self.tracks.append(Track(data[at + 8:at + 8 + length]))
            at += 8 + length
        self.last = max((track.ticks[-1] for track in self.tracks if track.ticks), default=0)
        self.moved = {by: [track.transposed(by) for track in self.tracks] for by in range(-6, 7)}

    def excerpt(self, by, last_tick):
        return [track.until(data, last_tick) for track, data in zip(self.tracks, self.moved[by])]


def chunk(kind, data):
    return kind + struct.pack(">I", len(data)) + data


def midi(piece, tracks, number):
    """A file of these tracks, with a title that no other has."""
    title = b"piece %d" % number
    first = b"\x00\xff\x03" + spelt(len(title)) + title
    return chunk(b"MThd", struct.pack(">HHH", piece.format, len(tracks), piece.division)) + b"".join(
        chunk(b"MTrk", (first if i == 0 else b"") + track + END) for i, track in enumerate(tracks))


def in_last_track(file, added, before_end=True):
    """The file with bytes put into its last track, whose length stays right."""
    at = file.rfind(b"MTrk")
    track = file[at + 8:]
    if before_end:
        track = track[:-len(END)] + added + END
    else:
        track = added + track
    return file[:at] + chunk(b"MTrk", track)


def poked(file, draw, value):
    at = draw.randrange(file.find(b"MTrk") + 12, len(file) - 4)
    return file[:at] + bytes([value]) + file[at + 1:]


def lengthened(file, by):
    at = file.rfind(b"MTrk")
    return file[:at + 4] + struct.pack(">I", max(0, struct.unpack(">I", file[at + 4:at + 8])[0] + by)) + file[at + 8:]


def small(events):
    return chunk(b"MThd", b"\x00\x00\x00\x01\x00\x60") + chunk(b"MTrk", events + END)


DAMAGE = {
    "data byte above 127": lambda file, draw: in_last_track(file, bytes([0x00, 0x90, 0xC3, 0x40])),
    "absurd delta time": lambda file, draw: in_last_track(file, b"\x00\x90\x40\x40\xff\xff\xff\x7f\x80\x40\x00"),
    "absurd delta time in silence": lambda file, draw: in_last_track(file, b"\xff\xff\xff\x7f\xb0\x07\x40" * 20),
    "quantity of 5 bytes": lambda file, draw: in_last_track(file, b"\x81\x82\x83\x84\x05\x90\x40\x40"),
    "running status before any status": lambda file, draw: in_last_track(file, b"\x00\x40\x40", before_end=False),
    "undefined status": lambda file, draw: in_last_track(file, b"\x00\xf4\x00"),
    "chunk length too large": lambda file, draw: lengthened(file, draw.randrange(1, 100000)),
    "chunk length too small": lambda file, draw: lengthened(file, -draw.randrange(1, 40)),
    "chunk length 0xffffffff": lambda file, draw: file[:file.rfind(b"MTrk") + 4] + b"\xff" * 4 + file[file.rfind(b"MTrk") + 8:],
    "wrong track count": lambda file, draw: file[:10] + struct.pack(">H", draw.choice((0, 40, 65535))) + file[12:],
    "no end of track": lambda file, draw: lengthened(file[:-len(END)], -len(END)),
    "truncated": lambda file, draw: file[:draw.randrange(30, len(file) - 4)],
    "truncated header": lambda file, draw: file[:draw.randrange(4, 14)],
    "header alone": lambda file, draw: file[:14],
    "empty": lambda file, draw: b"",
    "junk before the header": lambda file, draw: bytes(draw.randrange(32, 127) for _ in range(draw.randrange(1, 200))) + file,
    "junk behind": lambda file, draw: file + bytes(draw.randrange(1, 200)),
    "RIFF wrapper": lambda file, draw: b"RIFF" + struct.pack("<I", len(file) + 12) + b"RMIDdata" + struct.pack("<I", len(file)) + file,
    "HTML": lambda file, draw: b"<!DOCTYPE html>\n<html><body>404 Not Found: %d</body></html>\n" % draw.randrange(10**9),
    "division 0": lambda file, draw: file[:12] + b"\x00\x00" + file[14:],
    "SMPTE": lambda file, draw: file[:12] + draw.choice((b"\xe7\x28", b"\xe2\x50", b"\x80\x04")) + file[14:],
    "key signature out of range": lambda file, draw: in_last_track(file, b"\x00\xff\x59\x02\x7f\x63", before_end=False),
    "velocity 0 and overlapping notes": lambda file, draw: in_last_track(file, b"\x00\x90\x40\x40\x02\x90\x40\x50\x02\x90\x40\x00\x02\x90\x40\x00"),
    "hanging notes": lambda file, draw: in_last_track(file, b"\x00\x90\x3c\x40\x00\x90\x40\x40\x10\xb0\x07\x40"),
    "format 2": lambda file, draw: file[:8] + b"\x00\x02" + file[10:],
    "format 7": lambda file, draw: file[:8] + b"\x00\x07" + file[10:],
    "system exclusive split by F7": lambda file, draw: in_last_track(file, b"\x00\xf0\x03\x43\x12\x00\x06\xf7\x02\x43\xf7", before_end=False),
    "event longer than its track": lambda file, draw: in_last_track(file, b"\x00\xff\x01\x8f\xff\x7f"),
    "flipped byte": lambda file, draw: poked(file, draw, draw.randrange(256)),
    "nothing sounds": lambda file, draw: small(b"\x00\xff\x01" + spelt(8) + b"%08d" % draw.randrange(10**8)),
    "drums alone": lambda file, draw: small(b"\x00\x99\x24" + bytes([draw.randrange(1, 128)]) + spelt(draw.randrange(1, 9999)) + b"\x89\x24\x00"),
    "too large": lambda file, draw: file + chunk(b"junk", bytes(1 << 20)),
}


def make(number, pieces, draw):
    piece = draw.choice(pieces)
    last = draw.randrange(piece.last // 8, piece.last + 1) if piece.last else 0
    file = midi(piece, piece.excerpt(draw.randrange(-6, 7), last + 1), number)
    damage = "none"
    if draw.random() < 0.25:
        names = list(DAMAGE)
        damage = names[draw.randrange(len(names))]
        if damage == "too large" and draw.random() < 0.9:  # a few are enough
            damage = "truncated"
        file = DAMAGE[damage](file, draw)
    return file, piece.name, damage


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pieces", nargs="*", default=[], help="folders of more MIDI files")
    parser.add_argument("--forms", default="tar.gz,zip,folder")
    options = parser.parse_args()
    forms, out, pieces = options.forms.split(","), options.out, []
    for folder in [BUNDLED, *options.pieces]:
        for path in sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".mid", ".midi")):
            try:
                pieces.append(Piece(path))
            except (ValueError, IndexError, struct.error) as reason:
                print("not used: %s: %s" % (path, reason))
    packed = gzip.GzipFile(out + ".tar.gz", "wb", 6, mtime=0) if "tar.gz" in forms else None
    archive = tarfile.open(fileobj=packed, mode="w") if packed else None
    zipped = zipfile.ZipFile(out + ".zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) if "zip" in forms else None
    draw, seen, total, number = random.Random(options.seed), set(), 0, 0
    with open(out + ".jsonl", "w") as list_of_files:
        while len(seen) < options.files:
            number += 1
            file, piece, damage = make(number, pieces, draw)
            name = hashlib.md5(file).hexdigest()
            path = "lmd_full/%s/%s.mid" % (name[0], name)
            if path in seen:  # an empty file, of which there is but one
                continue
            seen.add(path)
            total += len(file)
            if archive:
                about = tarfile.TarInfo(path)
                about.size = len(file)
                archive.addfile(about, io.BytesIO(file))
            if zipped:
                zipped.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), file, zipfile.ZIP_DEFLATED)
            if "folder" in forms:
                place = Path(out) / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file)
            list_of_files.write(json.dumps({"path": path, "piece": piece, "damage": damage}) + "\n")
    for writer in (archive, packed, zipped):
        if writer:
            writer.close()
    print("%d files, %.1f MB, of %d pieces" % (len(seen), total * 1e-6, len(pieces)))


if __name__ == "__main__":
    main()
