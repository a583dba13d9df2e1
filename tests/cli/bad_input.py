"""Mistakes in experiment files, overrides and music: one line says what is wrong and where, and nothing is made or lost."""
import json
import resource

from support import EXPERIMENT, POPH, RUN, SOURCE, USAGE, Case, limit_memory, melody, midi_bytes, text


def hold(process_bytes, seconds):
    """For preexec_fn: bounds what a hostile file may take."""
    def limit():
        limit_memory(process_bytes)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    return limit


class Experiments(Case):
    def bad_file(self, added, message, name="bad.toml"):
        self.write(name, EXPERIMENT + added)
        self.refused(RUN, name, message=message)
        self.assertFalse((self.folder / "runs").exists())

    def test_no_such_file(self):
        self.refused(RUN, "nowhere.toml", message="cannot read nowhere.toml: No such file")
        self.refused(RUN, "music", message="cannot read music: Is a directory")
        self.refused(RUN, "train.epochs=3", "x.toml", message="train.epochs=3: No such file or directory, and an override comes after the experiment file")
        self.refused(RUN, "sa_lstm_lstm.toml", cwd=SOURCE,
                     message=r"sa_lstm_lstm.toml: No such file or directory; did you mean experiments/sa_lstm_lstm.toml\?")
        self.refused(RUN, "x.toml", "model.blocks[0].units=3", message=r"model\.blocks\[0\].units=3: model\.blocks\[0\]: units is no key of attention_notes, which has kind, heads, ")

    def test_syntax_error(self):
        self.bad_file("tempo = = 3\n", r"bad\.toml:%d:\d+: " % (EXPERIMENT.count("\n") + 1))
        self.bad_file("[train\n", r"bad\.toml:%d:\d+: " % (EXPERIMENT.count("\n") + 1))

    def test_unknown_key(self):
        line = EXPERIMENT.count("\n") + 2
        self.bad_file("[loss]\nnote = 'sum'\n", r"bad\.toml:%d: .*loss\.note.*did you mean .*loss\.notes" % line)
        self.bad_file("temprature = 2.0\n", r"bad\.toml:%d: .*generate\.temperature" % (line - 1))
        self.bad_file("[trian]\n", r"bad\.toml:%d: .*trian.*did you mean .*train" % (line - 1))

    def test_wrong_type(self):
        self.bad_file("tempo = 'fast'\n", r"bad\.toml:\d+: generate\.tempo.*number.*\"?fast")
        self.bad_file("context = 1.5\n", r"bad\.toml:\d+: generate\.context.*integer.*1\.5")

    def test_impossible_value(self):
        self.bad_file("tempo = 5\n", r"bad\.toml:\d+: generate\.tempo.* at least 10")
        self.bad_file("[loss.harmony]\nspan = 5\n", r"bad\.toml:\d+: loss\.harmony\.span = 5 does not divide data\.window = 16")
        self.bad_file("[loss.harmony]\nmatrix = 'diatonik'\n", r"bad\.toml:\d+: .*did you mean \"diatonic\"")
        self.bad_file("[loss]\nharmony = 1\n", r"bad\.toml:\d+: loss\.harmony.*table")

    def test_names_that_leave_the_folder(self):
        for name in ("../up", "", "a/b", ".hidden"):
            self.refused(RUN, "x.toml", "name=" + name, message="cannot name a folder|expected")
        self.assertFalse((self.folder / "runs").exists())

    def test_extends_cycle(self):
        self.write("a.toml", 'extends = "b.toml"\n')
        self.write("b.toml", '# second\nextends = "a.toml"\n')
        self.refused(RUN, "a.toml", message=r"b\.toml:2: extends: .*cycle.*a\.toml.*b\.toml.*a\.toml")
        self.write("c.toml", 'extends = "gone.toml"\n')
        self.refused(RUN, "c.toml", message=r"c\.toml:1: extends: .*gone\.toml: No such file")

    def test_overrides(self):
        for override, message in (("train.epochs", "expected KEY=VALUE"), ("train.epochs=0", "must be at least 1"),
                                  ("train.epoch=5", r"did you mean .*train\.epochs"), ("train.epochs=many", "integer"),
                                  ("train.epochs=[1", "not valid TOML"), ("extends=base.toml", "only a file can extend"),
                                  ("model.blocks=[]", "at least one block"), ("data.notes=128", "highest MIDI note")):
            self.refused(RUN, "x.toml", override, message="command line: .*" + message)
        self.assertFalse((self.folder / "runs").exists())

    def test_usage(self):
        for words in ((), ("x.toml", "--nonsense"), ("x.toml", "--threads", "two"), ("x.toml", "--device", "gpu"), ("x.toml", "--threads=-1")):
            self.refused(RUN, *words, message="--help", code=USAGE)
        for words in ((), ("compose",), ("inspect",), ("generate", "runs/x", "--temperature", "0"), ("generate", "runs/x", "--pieces", "-2"),
                      ("evaluate", "runs/x", "--dtype", "f16"), ("evaluate", "runs/x", "--split", "dev"), ("inspect", "a", "--yaml")):
            self.refused(POPH, *words, message="--help", code=USAGE)


class Music(Case):
    def skips(self, name, data, reason):
        """The file is left out of the corpus with a reason, within bounds of memory and time."""
        folder = "hostile %s" % self.id().rsplit(".", 1)[1]
        for i in range(3):
            self.write("%s/good %d.mid" % (folder, i), melody(40, i))
        path = self.write("%s/%s" % (folder, name), data)
        out = self.run_ok("x.toml", "--dry-run", "data.source=" + folder, "--threads", "1", preexec_fn=hold(1500 << 20, 20))
        self.assertRegex(out, r"\b1 of 4 files skipped")
        self.assertRegex(out, r"skipped %s: .*%s" % (text(path), reason))
        self.refused(POPH, "inspect", path, message=text(path) + ".*" + reason, preexec_fn=hold(1500 << 20, 20))
        path.unlink()

    def test_unreadable_files_are_skipped(self):
        whole = melody(40)
        for name, data, reason in (("empty.mid", b"", "found nothing"), ("text.MID", b"not music at all", "expected the header chunk"),
                                   ("short.midi", whole[:10], "truncated"),
                                   ("no tracks.mid", whole[:14], "track"), ("zero.mid", whole[:12] + b"\0\0" + whole[14:], "division 0")):
            with self.subTest(name):
                self.skips(name, data, reason)

    def test_hostile_files_take_no_memory_or_time(self):
        on, off, far = b"\x90\x40\x40", b"\x80\x40\x00", 0x0FFFFFFF
        late = midi_bytes([(far, b"\x90\x40\x40")] * 1000 + [(far, off)], division=1)
        spread = midi_bytes([(0, on), (1, off)] + [(far, on), (1, off)] * 500, division=1)
        for name, data in (("late.mid", late), ("spread.mid", spread)):
            with self.subTest(name):
                self.skips(name, data, "steps")

    def test_what_is_whole_of_a_damaged_file_is_read(self):
        whole = melody(40)
        liar = whole[:18] + b"\xff\xff\xff\xf0" + whole[22:]
        self.write("whole.mid", whole)
        steps = self.poph_json("inspect", "whole.mid")["steps"]
        for name, data, salvaged, share in (("cut.mid", whole[:len(whole) // 2], "byte %d: the file is cut off within a track" % (len(whole) // 2), 0.4),
                                           ("liar.mid", liar, "byte 18: a wrong chunk length", 1), ("whole.mid", whole, None, 1)):
            with self.subTest(name):
                self.write(name, data)
                found = self.poph_json("inspect", name, preexec_fn=hold(1500 << 20, 20))
                self.assertEqual(found.get("salvaged"), salvaged)
                self.assertGreaterEqual(found["steps"], share * steps)

    def test_a_long_delta_without_sound_is_fine(self):
        data = midi_bytes([(0, b"\x90\x40\x40"), (16, b"\x80\x40\x00"), (0x0FFFFFFF, b"\xb0\x07\x40")])
        self.write("rest.mid", data)
        self.assertEqual(self.poph_json("inspect", "rest.mid", preexec_fn=hold(1500 << 20, 20))["steps"], 16)

    def test_folders_that_are_useless(self):
        (self.folder / "bare").mkdir()
        self.refused(RUN, "x.toml", "data.source=bare", message="bare: found no MIDI files")
        self.refused(RUN, "x.toml", "data.source=gone", message="gone: no such file or folder")
        self.write("silent/a.mid", midi_bytes([(5, b"\xb0\x07\x40")]))
        self.write("low/a.mid", melody(20, lowest=20))
        self.refused(RUN, "x.toml", "data.source=silent", message="none of 1 files can be used.*no note sounds")
        self.refused(RUN, "x.toml", "data.source=low", message="none of 1 files can be used.*20 notes are out of range")
        self.refused(RUN, "x.toml", "data.source=['silent', 'low']", message="none of 2 files can be used")

    def test_a_failed_start_can_be_put_right(self):
        self.refused(RUN, "x.toml", "name=later", "data.source=later", message="later: no such file or folder")
        self.write("later/a.mid", melody(60))
        self.run_ok("x.toml", "name=later", "data.source=later", "train.epochs=1")

    def test_one_piece_only(self):
        for split in ("0.25", "none", "0"):
            out = self.run_ok("x.toml", "name=one" + split, "data.source=music/0.mid", "data.split=" + split, "train.epochs=1")
            self.assertRegex(out, r"1 pieces? to train on, %s, " % ("1 held out \(the same ones\)" if split == "none" else "0 held out"))
            self.assertTrue((self.folder / ("runs/one%s/samples/piece_1.mid" % split)).exists())

    def test_chord_files(self):
        pieces = [[[60 + (i + k) % 12, 64] for k in range(40)] for i in range(4)]
        self.write("chords.json", json.dumps({"train": pieces[:2], "valid": pieces[2:3], "test": pieces[3:]}))
        self.refused(RUN, "x.toml", "data.source=chords.json", message=r"chords\.json: .*data\.channels = \[\"play\"\]")
        play_only = ("x.toml", "name=chords", "data.source=chords.json", "data.channels=['play']", "train.epochs=1")
        self.run_ok(*play_only)
        for bad, message in (("{", "not JSON"), ('{"dev": []}', "expected train, valid or test"), ('{"train": [[["C"]]]}', "a string"),
                             ('{"train": [[[200]]]}', "above 127"), ("{}", "found no pieces")):
            self.write("bad.json", bad)
            self.refused(RUN, *play_only, "name=bad", "data.source=bad.json", message=r"bad\.json: .*" + message)
        for split, steps in (("train", 80), ("valid", 40), ("test", 40), ("all", 160)):
            found = self.poph_json("evaluate", "runs/chords", "--data", "chords.json", "--split", split)
            self.assertEqual((found["split"], found["steps"], found["log_likelihood"]["steps"]), (split, steps, steps))
        self.assertEqual(self.poph_json("evaluate", "runs/chords")["split"], "test")
        # Such a file keeps its own splits; a piece in which nothing sounds is no file skipped.
        self.write("chords.json", json.dumps({"train": [*pieces[:2], [[], []]], "valid": pieces[2:3], "test": pieces[3:]}))
        out = self.run_ok("x.toml", "--dry-run", "data.source=chords.json", "data.channels=['play']", "data.split=none")
        self.assertRegex(out, r"2 pieces to train on, 1 held out, ")
        self.assertRegex(out, r"; 0 of 1 files skipped, and 1 pieces of chord files\n")
        self.assertRegex(out, r"skipped \S.*chords\.json train\[2\]: no note sounds")
        out = self.run_ok("x.toml", "--dry-run", "data.source=['chords.json', 'music/0.mid']", "data.channels=['play']", "data.split=none")
        self.assertRegex(out, r"3 pieces to train on, 2 held out \(1 of them trained on too\), ")
        found = self.poph_json("evaluate", "runs/chords", "--data", "chords.json", "--split", "all", "data.split=none")
        self.assertEqual((found["pieces"], found["steps"]), (4, 160))
        self.write("trainonly.json", json.dumps({"train": pieces}))
        self.refused(POPH, "evaluate", "runs/chords", "--data", "trainonly.json", "--split", "test", message="--split test: .*no such pieces")

    def test_likelihoods_of_chord_files(self):
        pieces = [[[60 + (i + k) % 12, 30 + i] for k in range(20 + i)] for i in range(7)]
        self.write("c.json", json.dumps({"train": pieces[:3], "valid": pieces[3:4], "test": pieces[4:]}))
        words = ("x.toml", "data.source=c.json", "data.channels=['play']", "data.lowest_note=48", "data.notes=24", "train.epochs=1")
        out = self.run_ok(*words, "name=a")
        self.assertRegex(out, r"log-likelihood of 3 test pieces: -\S+ nats a step, -\S+ without first steps, -\S+ mean of pieces, "
                              r"-\S+ a quarter note \(notes 48 to 71, 4 steps a quarter note\)\n  on 88 keys: -.*\n  counting alone has the same four: ")
        self.run_ok(*words, "name=b", "seed=2")
        one, other = (self.poph_json("evaluate", "runs/" + name, "--per-piece") for name in "ab")
        both = self.poph_json("evaluate", "runs/a", "runs/b", "--per-piece")
        self.assertEqual([one["log_likelihood"], other["log_likelihood"]], [model["log_likelihood"] for model in both["models"]])
        self.assertGreater(2 * both["mixture"]["log_likelihood"]["nats_per_step"],  # a mean of probabilities has a higher logarithm
                           one["log_likelihood"]["nats_per_step"] + other["log_likelihood"]["nats_per_step"])
        self.assertEqual(one["log_likelihood"]["nats_per_step_88_keys"], json.loads((self.folder / "runs/a/run.json").read_text())[
            "log_likelihood"]["test"]["nats_per_step_88_keys"])
        some = self.poph_json("evaluate", "runs/a", "--pieces", "0,2", "--per-piece")
        self.assertEqual([piece["name"] for piece in some["per_piece"]], ["c.json test[0]", "c.json test[2]"])
        self.assertAlmostEqual(some["per_piece"][1]["nats_per_step"], one["per_piece"][2]["nats_per_step"], 4)
        counted = self.poph_json("baseline", "runs/a")
        self.assertEqual(counted["test"]["frequency"]["nats_per_step"], one["log_likelihood"]["counting"]["frequency"]["nats_per_step"])
        whole = self.poph_json("baseline", "--data", "c.json")["test"]["frequency"]["nats_per_step"]
        self.assertAlmostEqual(whole, counted["test"]["frequency"]["nats_per_step_88_keys"])
        self.assertRegex(self.poph_ok("baseline", "--data", "c.json"), r"test: 3 pieces, 75 steps\n.*\n  frequency of each key +%.3f" % whole)
        self.refused(POPH, "baseline", message="baseline: found neither an experiment nor --data")
        self.refused(POPH, "baseline", "x.toml", "train.epochs=2", message="train.epochs=2: changes nothing here")
        self.refused(POPH, "evaluate", "runs/a", "--pieces", "1,9", message="--pieces 1,9: found no piece 9 in split test")
        self.refused(POPH, "evaluate", "runs/a", "--pieces", "3-1", message="--pieces: found \"3-1\", expected numbers", code=2)
        self.run_ok(*words, "name=c", "data.notes=23")
        self.refused(POPH, "evaluate", "runs/a", "runs/b", "runs/c", message="are no mixture; data.notes: was 24, now 23")
        self.run_ok(*words, "name=d", "model.note_order=ascending")
        self.refused(POPH, "evaluate", "runs/a", "runs/d", message="mixture: found models of both note orders")
        self.refused(POPH, "evaluate", "runs/a", "gone", message="gone")

    def test_names_that_are_not_utf8(self):
        name = b"caf\xe9.mid"
        (self.folder / "latin").mkdir()
        for path, data in ((name, melody(40)), (b"b.mid", melody(50, 1)), (b"bad \xff.mid", b"nothing")):
            with open(bytes(self.folder) + b"/latin/" + path, "wb") as file:
                file.write(data)
        self.run_ok("x.toml", "name=latin", "data.source=latin", "train.epochs=1")
        self.assertEqual(self.poph_json("inspect", b"latin/" + name)["steps"], 46)
        found = self.poph_json("generate", "runs/latin", "--out", b"out \xe9", "--bars", "1")
        self.assertEqual(len(found["pieces"]), 1)
        code, out, err = self.call(RUN, "x.toml", "--quiet", "name=latin2", b"data.source=latin/" + name, "train.epochs=1")
        self.assertIn(code, (0, 1))
        self.assertNotIn("json.exception", err)
