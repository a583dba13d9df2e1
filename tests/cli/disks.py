"""Disks that are full or read-only, files in the way, two processes at once: said in one line, and what was there stays."""
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

from support import POPH, RUN, SANITIZED, Case, contents, outcome


# The sanitizers' builds are clang's. Its OpenMP makes a file of this many bytes when a program starts, and crashes where it cannot.
LIBOMP_FILE = 1024


def files_up_to(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Disks(Case):
    def test_no_room(self):
        for size in (0, 100, 1000, 4000, 9000):  # the lock, the settings, the metrics, the checkpoints, ..
            if SANITIZED and size < LIBOMP_FILE:
                continue
            with self.subTest(size):
                self.refused(RUN, "x.toml", "name=full", message="cannot write .*runs/full/.*: (File too large|No space left)",
                             preexec_fn=files_up_to(size))
        self.run_ok("x.toml", "name=full")
        self.run_ok("x.toml", "name=full", "--out", "roomy")
        self.assert_same_outcome(outcome(self.folder / "runs/full"), outcome(self.folder / "roomy/full"))
        before = contents(self.folder / "runs/full/checkpoints")
        self.refused(RUN, "x.toml", "name=full", "train.epochs=4", message="cannot write .*runs/full/", preexec_fn=files_up_to(4000))
        self.assert_untouched(self.folder / "runs/full/checkpoints", before)
        self.poph_ok("generate", "runs/full", "--bars", "1")
        if not SANITIZED:
            self.refused(POPH, "generate", "runs/full", "--bars", "1", "--out", "no room", message="cannot write no room/piece_1.mid",
                         preexec_fn=files_up_to(20))
            self.assertEqual(list((self.folder / "no room").iterdir()), [])

    def test_a_full_file_system(self):
        small = self.folder / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
        if mounted.returncode:
            self.skipTest("cannot mount a small disk here")
        try:
            message = "(cannot write|cannot make the folder) .*small.*: No space left on device"
            (small / "ballast").write_bytes(bytes(36 << 10))
            self.refused(RUN, "x.toml", "--out", "small", message=message)
            (small / "ballast").unlink()
            with open(small / "ballast", "wb", buffering=0) as ballast:
                with self.assertRaises(OSError):
                    while True:
                        ballast.write(bytes(1 << 10))
            self.refused(RUN, "x.toml", "--out", "small", "name=y", message=message)
            (small / "ballast").unlink()
        finally:
            subprocess.run(["umount", "-l", str(small)], check=True)

    def test_standard_output_that_is_full(self):
        with open("/dev/full", "wb") as full:
            self.refused(POPH, "inspect", "music/0.mid", "--json", stdout=full, message="cannot write to standard output: No space left")
            self.refused(RUN, "x.toml", "--print-config", stdout=full, message="cannot write to standard output: No space left")
            self.assertEqual(self.call(RUN, "x.toml", "name=unseen", stdout=full)[0], 0)  # the log has it all

    def test_read_only(self):
        if os.getuid():
            options = {}
        else:  # root may write anywhere; another user may not
            options = {"user": 65534, "group": 65534, "extra_groups": []}
            self.folder.chmod(0o755)
        try:
            self.poph_ok("inspect", "music/0.mid", **options)
        except (AssertionError, PermissionError) as reason:
            self.skipTest("no other user can run this build: %s" % str(reason)[:80])
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        self.refused(RUN, "x.toml", "--out", "closed", message="cannot make the folder closed/x: Permission denied", **options)
        self.run_ok("x.toml", "--quiet")
        before = contents(self.folder / "runs/x")
        (self.folder / "runs/x").chmod(0o555)
        self.refused(RUN, "x.toml", "train.epochs=3", message="cannot write into the folder runs/x: Permission denied", **options)
        self.assertIn("finished already", self.run_ok("x.toml", **options))
        self.assert_untouched(self.folder / "runs/x", before)
        self.refused(POPH, "generate", "runs/x", "--out", "closed/music", message="cannot make the folder closed/music: Permission denied", **options)
        self.refused(POPH, "generate", "runs/x", "--out", "closed", message="cannot write into the folder closed: Permission denied", **options)
        self.refused(POPH, "evaluate", "runs/x", "--gradients", "closed/g.safetensors", message="cannot write closed/g.safetensors: Permission denied", **options)
        closed.chmod(0o755)
        (self.folder / "runs/x").chmod(0o755)

    def test_a_file_in_the_way(self):
        self.write("taken", "precious")
        self.refused(RUN, "x.toml", "--out", "taken", message="taken")
        self.write("runs/way", "precious")
        self.refused(RUN, "x.toml", "name=way", message="runs/way is in the way: expected a run folder")
        self.refused(RUN, "x.toml", "name=way", "--restart", message="runs/way is in the way")
        self.write("runs/mine/letter.txt", "precious")
        for words in ((), ("--restart",)):
            self.refused(RUN, "x.toml", "name=mine", *words, message="runs/mine holds something else than a run of PopH")
        self.write("runs/mine-smoke/letter.txt", "precious")
        self.refused(RUN, "x.toml", "name=mine", "--smoke", message="runs/mine-smoke holds something else")
        self.run_ok("x.toml", "--quiet", "name=trained", "train.epochs=1")
        self.refused(POPH, "generate", "runs/trained", "--out", "taken", message="cannot make the folder taken: ")
        for path in ("taken", "runs/way", "runs/mine/letter.txt", "runs/mine-smoke/letter.txt"):
            self.assertEqual((self.folder / path).read_text(), "precious")

    def test_two_processes(self):
        first = self.start(RUN, "x.toml", "name=two", "train.epochs=100000", "train.patience=100000")
        try:  # a check that fails must not leave the test waiting for it
            first.stdout.readline()
            for words in ((), ("--restart",)):
                self.refused(RUN, "x.toml", "name=two", *words, message=r"runs/two is in use by process %d on \S+: " % first.pid)
            while not (self.folder / "runs/two/checkpoints/last.safetensors").exists():
                time.sleep(0.01)
            # Looking is free, and whoever looks in the middle of a save takes the pair before it and says so.
            code, out, err = self.call(POPH, "generate", "runs/two", "--bars", "1")
            self.assertEqual(code, 0, err)
            self.assertRegex(err, r"\A(\S+ and \S+ are of different saves .*: taking the pair before them, \S+\n)?\Z")
        finally:
            first.send_signal(signal.SIGKILL)
            first.communicate()
        shutil.rmtree(self.folder / "runs/two")


