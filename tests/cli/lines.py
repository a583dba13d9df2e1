"""Command lines: every option of both programs with every kind of odd value, and lines that people have written."""
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import POPH, RUN, SANITIZED, SOURCE, USAGE, Case, midi_bytes, text

HUGE = "9" * 30
VALUES = ("", "0", "-1", "nan", "inf", "1e400", HUGE, "word")
NUMBERS = ("INT", "NUMBER")
TYPES = NUMBERS + ("LIST", "PATH", "SHARES", "TEXT", "WORD", "flag")
# A line of --help: an option with its type and default, or a positional.
OPTION = re.compile(r"^  (?:-\w,)?(--[\w-]+|[A-Z=]+)(?: ([A-Z]+)\b(?:=\S*)?)?")


class Called:
    """A program, or one of its commands, and its options as --help lists them."""

    def __init__(self, program, words, help):
        self.program, self.words, self.options, self.commands = program, words, {}, []
        section = ""
        for line in help.splitlines():
            if line and not line.startswith(" "):
                section = line
            elif section == "Subcommands:" and (found := re.match(r"  ([a-z]+)\b", line)):
                self.commands.append(found[1])
            elif section in ("Options:", "Positionals:") and (found := OPTION.match(line)):
                self.options[found[1]] = found[2] or "flag"

    def name(self):
        return " ".join([Path(self.program).name, *self.words])


class Trained(Case):
    """A run of a tiny model."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, _, err = cls.call(RUN, "x.toml", "--quiet", "train.epochs=1")
        assert code == 0, err


class Walk(Trained):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Some of the calls train: the smallest run that there is.
        blocks = "[{ kind = 'lstm_time', layers = 1, units = 1 }]"
        cls.write("tiny.toml", 'extends = "x.toml"\ntrain.epochs = 1\ndata.source = "music/0.mid"\ndata.split = "none"\ndata.notes = 1\nmodel.blocks = %s\n' % blocks)

    def programs(self):
        for program in (RUN, POPH):
            whole = Called(program, [], self.call(program, "--help")[1])
            self.assertGreater(len(whole.options), 1)
            yield whole
            for command in whole.commands:
                yield Called(program, [command], self.call(program, command, "--help")[1])

    def called(self, called, *words, **options):
        """What `call` returns. `poph play` goes on until it is asked to stop, which it is once it has begun."""
        if called.words != ["play"]:
            return self.call(called.program, *called.words, *words, **options)
        options["environment"] = {**options.get("environment", {}), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
        with self.start(called.program, *called.words, *words, **options) as process:
            line = process.stdout.readline()
            if line.startswith(b"open http"):
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        return process.returncode, (line + out).decode(), err.decode()

    def line_that_works(self, called):
        """What the required positional may be: the first of these that the program takes."""
        for path in (self.folder / "tiny.toml", self.folder / "runs/x", self.folder / "music"):
            if self.called(called, path, cwd=self.scratch("first"))[0] == 0:
                return [path]
        self.fail("%s takes neither an experiment nor a run nor music: add what it takes" % called.name())

    def scratch(self, name):
        folder = self.folder / "scratch" / name.replace("/", " ")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def cases(self):
        for called in self.programs():
            if called.commands:  # a program of commands does nothing by itself
                positional = []
            else:
                positional = self.line_that_works(called)
            for option, kind in called.options.items():
                self.assertIn(kind, TYPES, "%s %s: what may its values be? Say it in `judge`" % (called.name(), option))
                for value in VALUES:
                    if kind == "flag":
                        words = [*positional, "%s=%s" % (option, value)]
                    elif option.startswith("--"):
                        words = [*positional, option, value]
                    elif option == "KEY=VALUE":
                        words = [*positional, value]
                    else:
                        words = [value]
                    yield called, option, kind, value, words

    def judge(self, case):
        """What is wrong with how a program takes a value; empty: nothing."""
        called, option, kind, value, words = case
        folder = self.scratch(called.name() + option)
        try:
            code, out, err = self.called(called, *words, cwd=folder, environment={"POPH_RUNS": str(folder / "runs")})
        except subprocess.TimeoutExpired:
            return "takes more than two minutes"
        if code not in (0, 1, USAGE):
            return "exit code %d: %s" % (code, err)
        if self.must_refuse(kind, value) and code != USAGE and option != "--help":
            return "exit code %d, expected a refusal" % code
        if code == 0:
            return err and "exit code 0, and on standard error: " + err
        if not re.fullmatch(r"%s: [^\n]+\n" % Path(called.program).name, err):
            return "exit code %d, expected one line, found: %r" % (code, err)
        # A positional may be named by what was given, an option by its word or the key that it stands for.
        named = [option.lstrip("-")] + ([] if option.startswith("--") else [value or "empty", "command line"])
        return "" if any(word in err for word in named) else "the line does not name it: " + err

    @staticmethod
    def must_refuse(kind, value):
        if kind == "flag":
            return value != ""
        if kind in NUMBERS:
            return value in ("", "nan", "inf", "1e400", "word") or kind == "INT" and value == HUGE
        if kind == "LIST":
            return value != "0"
        return kind == "WORD" or kind in ("PATH", "SHARES") and value == ""

    def test_every_option(self):
        cases = list(self.cases())
        self.assertGreater(len(cases), 300)
        with ThreadPoolExecutor(4) as workers:
            found = list(workers.map(self.judge, cases))
        wrong = ["%s %s %r: %s" % (case[0].name(), case[1], case[3], problem) for case, problem in zip(cases, found) if problem]
        self.assertEqual(wrong, [], "\n".join(wrong))


class Lines(Trained):
    def generate(self, *words, message, code=1):
        self.refused(POPH, "generate", "runs/x", "--out", "none", *words, message=message, code=code)
        self.assertFalse((self.folder / "none").exists())

    def test_numbers(self):
        for words, message in ((("--temperature", "nan"), "--temperature: must be a finite number, is nan"),
                               (("--tempo", "nan"), "--tempo: must be a finite number, is nan"),
                               (("--temperature", "0"), "--temperature: must be above 0, is 0"),
                               (("--tempo", "1e400"), "--tempo: must be a finite number, is inf"),
                               (("--pieces", "0"), "--pieces: must be at least 1, is 0"),
                               (("--context", "-1"), "--context: must be at least 0, is -1"),
                               (("--seed", "-1"), "--seed: must be at least 0, is -1"),
                               (("--seed", "9" * 20), "--seed: must be at most 9223372036854775807, is 99999999999999999999"),
                               (("--bars", "1e3"), '--bars: expected a whole number, found "1e3"')):
            self.generate(*words, message="^poph: %s \\(--help" % text(message), code=USAGE)
        self.refused(RUN, "x.toml", "--index", "-1", message=r"^run_experiment: --index: must be at least 0, is -1 \(--help", code=USAGE)

    def test_overrides_that_change_nothing(self):
        self.generate("seed=5", message="^poph: command line: seed=5: changes nothing here; --seed is the seed of what is composed\n")
        self.generate("train.epochs=5", message="train.epochs=5: changes nothing here")
        self.generate("--keep-prime", message="--keep-prime: there is no prime")
        self.generate("--particles", "8", message="^poph: --particles: changes nothing here: only conditions that fix some notes use it, such as --melody or --scale\n")
        self.generate("--particles", "8", "--most-notes", "12", message="--particles: changes nothing here")
        self.refused(POPH, "evaluate", "runs/x", "generate.bars=3", message="command line: generate.bars=3: changes nothing here")
        self.refused(POPH, "inspect", "music/0.mid", "train.batch=3", message="command line: train.batch=3: changes nothing here")
        self.refused(POPH, "inspect", "runs/x", "data.notes=88", message="command line: data.notes=88: changes nothing here")
        self.refused(POPH, "data", "music", "data.source=other", message="command line: data.source=other: changes nothing here")

    def test_a_context_longer_than_the_piece(self):
        whole = self.poph_json("generate", "runs/x", "--bars", "1", "--context", "16", "--out", "whole")
        beyond = self.poph_json("generate", "runs/x", "--bars", "1", "--context", "100000", "--out", "beyond")
        for there, here in zip(whole["pieces"], beyond["pieces"]):
            self.assertEqual((self.folder / there["file"]).read_bytes(), (self.folder / here["file"]).read_bytes())
        self.generate("--pieces", "1000000", "--bars", "60000", message="1000000 pieces of 960000 steps .* take .*B of memory, and .*B are free")
        self.generate("--pieces", "1", "--bars", "60000", "--scale", "C major", "--particles", "1000000",
                      message="1 pieces of 1000000 particles and 960000 steps .* are free: fewer pieces, particles or bars")

    def test_axes_on_the_command_line(self):
        words = ("sweep.axes.loss.harmony.weight=[0, 0.1]", "sweep.axes.model.blocks[0].norm=['pre', 'post']", "name=axes")
        self.assertEqual(len(self.run_ok("x.toml", *words, "--list").splitlines()), 4)
        self.write("swept.toml", 'extends = "x.toml"\n[sweep.axes]\nloss.harmony.weight = [0, 0.1]\ntrain.batch = [1, 2]\n')
        self.assertEqual(len(self.run_ok("swept.toml", "sweep.axes.loss.harmony.weight=[0, 0.1, 0.2]", "--list").splitlines()), 6)
        self.refused(RUN, "x.toml", "sweep.axes.loss.harmony.wieght=[0]", message=r"command line: sweep\.axes\..*did you mean \"loss\.harmony\.weight\"")

    def test_home(self):
        home = {"environment": {"HOME": str(self.folder)}}
        self.assertEqual(self.poph_json("data", "~/music", **home)["files"], 4)
        self.write("home.toml", 'extends = "~/x.toml"\ndata.source = "~/music"\n')
        for words in (("home.toml",), ("x.toml", "data.source=~/music"), ("~/home.toml",)):
            self.assertIn('source = "%s"' % (self.folder / "music"), self.run_ok(*words, "--print-config", **home))
        self.poph_ok("generate", "~/runs/x", "--bars", "1", "--prime", "~/music/0.mid", "--out", "~/of home", **home)
        self.assertTrue((self.folder / "of home").is_dir())
        self.assertFalse((self.folder / "~").exists())

    def test_paths_are_said_once(self):
        path = str(self.folder / "gone.mid")
        err = self.call(POPH, "generate", "runs/x", "--prime", "gone.mid")[2]
        self.assertEqual(err, "poph: generate.prime: %s: cannot be read: No such file or directory\n" % path)
        err = self.call(POPH, "inspect", "gone.mid")[2]
        self.assertEqual(err, "poph: gone.mid: cannot be read: No such file or directory\n")

    def test_patience_without_end(self):
        out = self.run_ok("x.toml", "name=patient", "train.patience=0", "train.epochs=9", "train.learning_rate=1.0", "train.monitor=train_loss")
        self.assertRegex(out, "(?m)^epoch 9: ")
        self.assertNotIn("stopped early", out)

    def test_inspect_of_music(self):
        self.write("other/a.txt", "nothing")
        found, wanted = self.poph_json("inspect", "music"), self.poph_json("data", "music")
        for timed in ("seconds", "files_per_second"):
            del found[timed], wanted[timed]
        self.assertEqual(found, wanted)
        self.assertRegex(self.poph_ok("inspect", "music", "data.notes=88", "data.lowest_note=21"), "(?m)^files: 4$")
        self.refused(POPH, "inspect", "other", message="data: folder other: found no MIDI files")
        (self.folder / "untrained/checkpoints").mkdir(parents=True)
        self.refused(POPH, "inspect", "untrained", message="untrained: no checkpoint in this folder: train a model first")

    def test_what_is_left_out_is_said(self):
        on = lambda pitch, channel=0: [(0, bytes([0x90 + channel, pitch, 64])), (2, bytes([0x80 + channel, pitch, 0]))]
        self.write("some/low.mid", midi_bytes([event for i in range(16) for event in on(60 + i if i < 4 else 30 + i)]))
        self.write("some/broken.mid", b"nothing")
        out = self.poph_ok("evaluate", "runs/x", "--data", "some")
        self.assertRegex(out, r"(?m)^12 notes dropped as out of range \(60 to 71\)$")
        self.assertRegex(out, r"(?m)^1 of 2 files skipped$")
        self.assertRegex(out, r"(?m)^skipped some/broken\.mid: .*expected the header chunk")
        found = self.poph_json("evaluate", "runs/x", "--data", "some")["music"]
        self.assertEqual((found["files"], found["skipped"], found["dropped_notes"]), (2, 1, 12))
        prime = ("generate", "runs/x", "--bars", "1", "--prime", "some/low.mid")
        self.assertRegex(self.poph_ok(*prime), r"(?m)^prime: .*low\.mid: 12 of 16 notes are out of range \(60 to 71\)$")
        self.assertEqual(len(self.poph_json(*prime)["left_out"]), 1)
        self.refused(POPH, "evaluate", "runs/x", "--data", "", message="--data: found an empty path", code=USAGE)

    def test_evaluate_shows_how_far_it_is(self):
        music = "data/corpus/bach_prelude_bwv847.mid" if SANITIZED else "data/corpus"  # long enough for a line of progress
        for words, stream in (((), "stdout"), (("--json",), "stderr")):
            shown = self.on_terminal(POPH, "evaluate", "runs/x", "--data", str(SOURCE / music), "data.windows=staggered", "data.stride=8", *words, streams=(stream,))
            self.assertRegex(shown, rb"\r(losses: \d+/\d+ windows|log-likelihood: \d+/\d+ steps)\033\[K")
