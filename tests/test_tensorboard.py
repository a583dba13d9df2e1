#!/usr/bin/env python3
"""test_tensorboard.py BUILD_DIR: what TensorBoard itself makes of the event files that runs write.

TensorBoard is installed from PyPI into BUILD_DIR/tensorboard-venv when it is first needed. Exit status 77 (skipped) where that fails.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINNED = "tensorboard==2.21.0"


def environment(build):
    """The Python that has TensorBoard; ends this test where there is none to be had."""
    venv = build / "tensorboard-venv"
    python = venv / "bin/python"
    if not python.exists() and subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        print(f"skipped: no virtual environment could be made in {venv} (Debian: apt-get install python3-venv)")
        sys.exit(77)
    if subprocess.run([python, "-c", "import tensorboard"], capture_output=True).returncode:
        done = subprocess.run([python, "-m", "pip", "install", "-q", "--retries", "1", "--disable-pip-version-check", PINNED],
                              capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            print(f"skipped: {PINNED} could not be installed: {lines[-1] if lines else 'pip said nothing'}")
            sys.exit(77)
    return python


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: test_tensorboard.py BUILD_DIR [NAME..]")
    build = Path(sys.argv[1]).absolute()
    if Path(sys.prefix) != build / "tensorboard-venv":
        os.execv(python := environment(build), [str(python), __file__, *sys.argv[1:]])

os.environ["POPH_TEST_BUILD"] = str(build)
sys.path.insert(0, str(HERE / "cli"))
import io
import json
import time
import unittest
import urllib.parse
import urllib.request
import wave

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as TensorAccumulator

from support import CAN_PLAY, RUN, WITH_SOUND, Case, metrics


class Read(Case):
    """A run of two epochs; one that went on, from a checkpoint older than its event files, as after a crash."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.experiment.write_text(cls.experiment.read_text().replace("tensorboard = false\n", ""))
        for words in (("name=plain",), ("name=crashed", "train.epochs=1")):
            assert cls.call(RUN, "x.toml", "--quiet", *words, environment=WITH_SOUND) == (0, "", "")
        crashed = cls.folder / "runs/crashed"
        shutil.copytree(crashed / "checkpoints", cls.folder / "kept")
        assert cls.call(RUN, "x.toml", "--quiet", "name=crashed", "train.epochs=2", environment=WITH_SOUND)[0] == 0
        shutil.rmtree(crashed / "checkpoints")
        shutil.copytree(cls.folder / "kept", crashed / "checkpoints")
        assert cls.call(RUN, "x.toml", "--quiet", "name=crashed", "train.epochs=3", environment=WITH_SOUND)[0] == 0

    def read(self, run):
        events = EventAccumulator(str(self.folder / "runs" / run), size_guidance={kind: 0 for kind in ("scalars", "images", "audio", "tensors")})
        events.Reload()
        return events

    def check_scalars(self, run):
        events = self.read(run)
        for split in ("train", "valid"):
            lines = [line for line in metrics(self.folder / "runs" / run) if line["split"] == split]
            for part in ("total", "play", "replay", "volume", "harmony"):
                found = events.Scalars(f"{split}/{part}")
                self.assertEqual([event.step for event in found], [line["step"] for line in lines])
                for event, line in zip(found, lines):
                    self.assertAlmostEqual(event.value, line[part], places=6)
        steps = json.loads((self.folder / "runs" / run / "run.json").read_text())["steps"]
        self.assertEqual([event.step for event in events.Scalars("step/total")], list(range(1, steps + 1)))
        self.assertEqual(len(events.Scalars("train/learning_rate")), len(lines))
        self.assertLess(max(event.wall_time for event in found) - min(event.wall_time for event in found), 600)
        return events

    def test_scalars(self):
        self.check_scalars("plain")

    def test_no_step_twice_after_a_crash(self):
        self.check_scalars("crashed")
        files = [path.name for path in (self.folder / "runs/crashed").glob("events.*")]
        self.assertEqual(len([name for name in files if not name.endswith(".samples")]), 3, files)
        self.assertEqual(len([name for name in files if name.endswith(".samples")]), 1, files)

    def test_pictures(self):
        for run in ("plain", "crashed"):
            events = self.read(run)
            steps = json.loads((self.folder / "runs" / run / "run.json").read_text())["steps"]
            image, = events.Images("piano_roll/piece_1")
            self.assertEqual((image.width, image.height, image.step), (16 * 4, 12 * 4, steps))
            self.assertEqual(image.encoded_image_string[:8], b"\x89PNG\r\n\x1a\n")

    def test_text(self):
        found = TensorAccumulator(str(self.folder / "runs/plain"))
        found.Reload()
        self.assertEqual(found.SummaryMetadata("experiment").plugin_data.plugin_name, "text")
        text, = found.Tensors("experiment")
        shown = text.tensor_proto.string_val[0].decode()
        self.assertEqual(re.sub("(?m)^    ", "", shown), (self.folder / "runs/plain/config.toml").read_text().replace('"../../music"', '"%s/music"' % self.folder))

    @unittest.skipUnless(CAN_PLAY, "fluidsynth or its sound font is not installed")
    def test_sound(self):
        sound, = self.read("plain").Audio("audio/piece_1")
        self.assertEqual(sound.content_type, "audio/wav")
        with wave.open(io.BytesIO(sound.encoded_audio_string)) as heard:
            self.assertEqual((heard.getnchannels(), heard.getframerate(), heard.getnframes()), (1, sound.sample_rate, sound.length_frames))
            self.assertGreater(heard.getnframes() / heard.getframerate(), 2)  # a bar at 120 quarters a minute
            self.assertTrue(any(heard.readframes(heard.getnframes())))

    def test_none_where_not_wanted(self):
        self.run_ok("x.toml", "--quiet", "name=without", "train.tensorboard=false")
        self.assertEqual(list((self.folder / "runs/without").glob("events.*")), [])

    def test_the_program(self):
        """`tensorboard --logdir runs`, asked over HTTP: its fast reader is another program than the one above."""
        process = subprocess.Popen([Path(sys.prefix) / "bin/tensorboard", "--logdir", "runs", "--port", "0", "--host", "127.0.0.1"], cwd=self.folder,
                                   text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)  # the last one added comes first
        said = []
        for line in process.stderr:
            said.append(line)
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            self.fail("it gave no address: " + "".join(said))

        def get(path, **query):
            with urllib.request.urlopen(address[0] + path + "?" + urllib.parse.urlencode(query), timeout=60) as answer:
                return json.load(answer)
        for _ in range(120):  # it reads while it serves
            if "piano_roll/piece_1" in get("/data/plugin/images/tags").get("crashed", {}):
                break
            time.sleep(0.5)
        steps = json.loads((self.folder / "runs/crashed/run.json").read_text())["steps"]
        points = get("/data/plugin/scalars/scalars", run="crashed", tag="step/total")
        self.assertEqual([step for _, step, _ in points], list(range(1, steps + 1)))
        self.assertIn("experiment", get("/data/plugin/text/tags")["crashed"])
        if CAN_PLAY:
            self.assertIn("audio/piece_1", get("/data/plugin/audio/tags")["crashed"])
        self.assertEqual([image["step"] for image in get("/data/plugin/images/images", run="crashed", tag="piano_roll/piece_1", sample=0)], [steps])


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:] or ["Read"], sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print("{} passed, {} failed, {} skipped".format(max(0, result.testsRun - bad - len(result.skipped)), bad, len(result.skipped)))
    sys.exit(1 if bad or result.testsRun == 0 else 0)
