"""Archives and large folders as sources: read like the folder of the same files, from a cache the second time, whatever is in them."""
import gzip
import io
import json
import os
import struct
import tarfile
import zipfile

from bad_input import hold
from support import POPH, RUN, Case, melody, midi_bytes, outcome, text


def tar_bytes(files, compress=True, links=()):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if compress else "w") as archive:
        for name, data in files:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
        for name, kind, target in links:
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, target
            archive.addfile(about)
    return made.getvalue()


def zip_bytes(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


class Archives(Case):
    def setUp(self):
        self.files = [("%d.mid" % i, melody(48 + 8 * i, i)) for i in range(4)]

    def everything(self):
        return sorted(str(path) for path in self.folder.rglob("*"))

    def data(self, *words, **options):
        return self.poph_json("data", *words, "data.lowest_note=60", "data.notes=12", **options)

    def test_a_run_is_that_of_the_folder(self):
        self.run_ok("x.toml", "name=folder", "--quiet")
        backwards = self.files[::-1]
        for name, data in (("m.tar.gz", tar_bytes(backwards)), ("m.tar", tar_bytes(backwards, False)), ("m.ZIP", zip_bytes(backwards))):
            self.write(name, data)
            run = "from" + name.replace(".", "")
            self.assertIn("3 pieces to train on, 1 held out", self.run_ok("x.toml", "name=" + run, "data.source=" + name))
            found, expected = outcome(self.folder / "runs" / run), outcome(self.folder / "runs/folder")
            for each in (found, expected):  # which hold the experiment's name and source
                for checkpoint in ("best", "last", "best.state", "last.state"):
                    each[checkpoint] = each[checkpoint][-2000:]
                del each["piece_1.svg"]
            self.assert_same_outcome(found, expected)

    def test_hostile_archives(self):
        good = self.files[:3]
        outside = self.folder / "outside.mid"
        names = [("../../escaped.mid", melody(50, 5)), ("/tmp/poph escaped.mid", melody(50, 6)), ("a\nb\x1b[2J.mid", b"x"), ("empty.mid", b"")]
        links = [("link.mid", tarfile.SYMTYPE, "/etc/passwd"), ("hard.mid", tarfile.LNKTYPE, "0.mid"), ("pipe.mid", tarfile.FIFOTYPE, ""),
                 ("folder", tarfile.SYMTYPE, "/tmp"), ("device.mid", tarfile.CHRTYPE, "")]
        self.write("evil.tar.gz", tar_bytes(good + names, links=links))
        before = self.everything()
        found = self.data("evil.tar.gz")
        self.assertEqual((found["files"], found["skipped"]), (11, 6))
        self.assertEqual(found["faults"]["skipped"], {"links in an archive": 2, "devices and pipes in an archive": 2, "empty files": 1,
                                                      "no MIDI header: HTML, text, another format": 1})
        out = self.poph_ok("data", "evil.tar.gz", "data.lowest_note=60", "data.notes=12")
        self.assertIn(r"a\nb\x1b[2J.mid: midi: byte 0: found 'x'", out)
        self.assertEqual(self.everything(), before)
        self.assertFalse(outside.exists() or os.path.exists("/tmp/poph escaped.mid"))

    def test_bombs(self):
        bomb = self.folder / "bomb.tar.gz"
        with gzip.open(bomb, "wb", 9) as packed:
            about = tarfile.TarInfo("zeros.bin")
            about.size = 1 << 40
            packed.write(about.tobuf())
            for _ in range(700):
                packed.write(bytes(1 << 20))
        members = zip_bytes([("%d.mid" % i, bytes(20 << 20)) for i in range(20)])
        self.write("bomb.zip", members)
        for name in ("bomb.tar.gz", "bomb.zip"):
            self.refused(POPH, "data", name, message=text(name) + ": its first .* bytes expand to more than .* is it a zip bomb",
                         preexec_fn=hold(1500 << 20, 20))

    def peak(self, source):
        """Bytes of memory that reading it takes at most."""
        process = self.start(POPH, "data", source, "--threads", "2")
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, process.stderr.read())
        return usage.ru_maxrss << 10

    def test_memory_does_not_grow_with_the_archive(self):
        padded = [("%d.mid" % i, melody(50, i) + b"junk" + struct.pack(">I", 8 << 20) + bytes(8 << 20)) for i in range(28)]
        for name, few in (("few.tar.gz", tar_bytes(padded[:2])), ("few.zip", zip_bytes(padded[:2]))):
            self.write(name, few)
            self.write("many" + name, tar_bytes(padded) if name.endswith("gz") else zip_bytes(padded))
            grown = self.peak("many" + name) - self.peak(name)
            self.assertLess(grown, 100 << 20)  # of the 208 MB more; 32 MB may wait, and each thread has one of 8 MB

    def test_what_is_left_of_an_archive(self):
        whole = tar_bytes(self.files, False)
        self.write("cut.tar", whole[:whole.index(b"3.mid") + 512 + 100])  # within the last file
        out = self.run_ok("x.toml", "--dry-run", "data.source=cut.tar")
        self.assertRegex(out, r"1 of 4 files skipped\n")
        self.assertRegex(out, r"skipped \S.*cut.tar/3.mid: the archive is damaged within it: Truncated tar archive\n")
        self.assertRegex(out, r"cut.tar: damaged behind its first 4 members: Truncated tar archive\n")
        locked = bytearray(zip_bytes(self.files))
        locked[6] |= 1
        locked[locked.find(b"PK\1\2") + 8] |= 1
        self.write("locked.zip", bytes(locked))
        self.assertRegex(self.run_ok("x.toml", "--dry-run", "data.source=locked.zip"), r"skipped \S.*locked.zip/0.mid: encrypted\n")
        for name, data, message in (("none.zip", b"", "no archive of .tar or .zip"), ("text.tar.gz", b"hello" * 500, "no archive of .tar or .zip"),
                                    ("bare.zip", zip_bytes([("readme.txt", b"x")]), "bare.zip: found no MIDI files"),
                                    ("folder.zip", None, "folder.zip: found no MIDI files")):
            if data is None:
                (self.folder / name).mkdir()
            else:
                self.write(name, data)
            self.refused(RUN, "x.toml", "data.source=" + name, message=message)

    def test_the_list_of_faults(self):
        bad = [("bad/%d.mid" % i, b"<html>%d" % i) for i in range(12)]
        bad += [("bad/flat%d.mid" % i, self.files[0][1][:12] + bytes(2) + b"%d" % i) for i in range(3)]
        cut = [("cut.mid", self.files[0][1][:-9])]
        self.write("many.zip", zip_bytes(self.files + bad + cut + [("caf\u00e9.mid", melody(60, 7))]))
        out = self.run_ok("x.toml", "name=many", "data.source=many.zip", "train.epochs=1")
        self.assertRegex(out, r"15 of 21 files skipped, 1 damaged but read\n")
        self.assertRegex(out, r"skipped 12: no MIDI header: HTML, text, another format, such as \S.*many.zip/bad/0.mid: midi: byte 0: found '<htm', ")
        self.assertRegex(out, r"skipped 3: division 0, such as \S.*bad/flat0.mid: ")
        self.assertRegex(out, r"damaged but read \S.*many.zip/cut.mid: midi: byte \d+: the file is cut off within a track\n")
        lines = [json.loads(line) for line in (self.folder / "runs/many/skipped.jsonl").read_text().splitlines()]
        self.assertEqual([line["read"] for line in lines], [False] * 15 + [True])
        self.assertEqual(lines[0]["kind"], "no MIDI header: HTML, text, another format")
        self.assertEqual(json.loads((self.folder / "runs/many/run.json").read_text())["data"]["faults"]["skipped"]["division 0"], 3)
        listed = self.poph_ok("data", "many.zip", "--list", "data.lowest_note=60", "data.notes=12")
        self.assertEqual([json.loads(line)["reason"] for line in listed.splitlines()], [line["reason"] for line in lines])
        self.assertFalse((self.folder / "runs/x/skipped.jsonl").exists())

    def test_a_cap_on_size(self):
        large = midi_bytes([(0, b"\x90\x40\x40"), (4, b"\x80\x40\x00")] * 1000)
        self.write("sizes/large.mid", large)
        self.write("sizes/small.mid", self.files[0][1])
        self.write("sizes.zip", zip_bytes([("large.mid", large), ("small.mid", self.files[0][1])]))
        for source in ("sizes", "sizes.zip"):
            found = self.data(source, "data.max_file_bytes=2000")
            self.assertEqual((found["skipped"], found["faults"]["skipped"]), (1, {"too large": 1}))
            self.assertEqual(self.data(source)["skipped"], 0)

    def test_the_split_by_the_first_digit_of_names(self):
        names = ["0a.mid", "Ex.mid", "f0.mid", "9.mid", "e1.mid"]
        members = [("lmd/%s/%s" % (name[0], name), melody(50, i)) for i, name in enumerate(names)]
        self.write("hex.zip", zip_bytes(members + [("lmd/f/fcopy.mid", melody(50, 0))]))
        found = self.data("hex.zip", "data.split=first_hex_digit")
        self.assertEqual(found["pieces"], {"train": 3, "valid": 2, "test": 1})
        self.run_ok("x.toml", "name=hex", "data.source=hex.zip", "data.split=first_hex_digit", "train.epochs=1")
        self.assertEqual(self.poph_json("evaluate", "runs/hex")["split"], "test")
        self.write("named/waltz.mid", melody(50, 9))
        self.assertEqual(self.poph_json("evaluate", "runs/hex", "--data", "named", "--split", "all")["pieces"], 1)
        self.refused(RUN, "x.toml", "data.split=first_hex_digit", "data.source=['hex.zip', 'named']",
                     message=r'data.split = "first_hex_digit": found the file waltz.mid, expected names that begin with a hexadecimal digit')

    def test_the_cache(self):
        self.write("many.tar.gz", tar_bytes([("%d.mid" % i, melody(20 + i % 7, i % 90)) for i in range(1100)] + [("bad.mid", b"no")]))
        caches = self.folder / "caches"
        used = {"XDG_CACHE_HOME": str(caches), "POPH_CACHE": ""}
        first = self.data("many.tar.gz", environment=used)
        self.assertRegex(first["remarks"][0], "cache: keeps what was read of .*many.tar.gz for the next start")
        entry = next(path for path in (caches / "poph").iterdir())
        second = self.data("many.tar.gz", environment=used)
        self.assertRegex(second["remarks"][0], "cache: 1101 files of .*many.tar.gz as they were read before")
        (entry / "part_00000").write_bytes((entry / "part_00000").read_bytes()[:-1])
        third = self.data("many.tar.gz", environment={"POPH_CACHE": str(caches / "poph")})
        self.assertRegex(third["remarks"][0], r"cache: .* is not used but made anew: .*part_00000 is damaged")
        for found in (second, third, self.data("many.tar.gz")):
            for key in ("files", "skipped", "pieces", "steps", "bytes", "fingerprint", "faults"):
                self.assertEqual(found[key], first[key])
        self.assertEqual(self.data("many.tar.gz")["remarks"], [])  # POPH_CACHE=none
        self.data("music", environment=used)  # four files leave no traces
        self.assertEqual(list((caches / "poph").iterdir()), [entry])
