"""Before anything is timed: do PopH and the peer compute the same?"""
import json
import pathlib
import subprocess

from harness import HERE, Failed, last_line, say

SWITCHES = [  # experiments that together turn every switch of the model
    ("lstm_lstm", []), ("sa_lstm_lstm", []), ("lstm_lstm_sa", []), ("sa_lstm_lstm_sa", []), ("sa_lstm_sa", []), ("sa2d_lstm_lstm", []),
    ("harmony_raw_mean", []), ("harmony_raw_mean_square", ["loss.harmony.matrix=krumhansl", "loss.harmony.span=4"]),
    ("harmony_softmax_mean_square", ["loss.harmony.matrix=triad", "loss.notes=sum"]), ("harmony_off", ["data.channels=[\"play\"]"]),
    ("lstm_lstm", ["loss.harmony.matrix=harmonic_minor", "model.note_order=ascending", "data.lowest_note=21", "data.notes=88"]),
    ("lstm_lstm", ["loss.harmony.matrix=melodic_minor", "model.condition=false"]),
    ("lstm_lstm", ["model.blocks=[{kind=\"attention_notes\",norm=\"pre\"},{kind=\"lstm_time\",layers=1,units=24},"
                   "{kind=\"attention_time_notes\",heads=2,head_dim=6,norm=\"pre\",query_gate=true},{kind=\"lstm_notes\",layers=3,units=16}]"]),
    ("lstm_lstm", ["model.blocks=[{kind=\"lstm_time\",units=24},{kind=\"lstm_notes\",units=16},{kind=\"attention_notes\",heads=3,head_dim=4,"
                   "mask=\"none\",query_gate=true,residual=false,norm=\"none\",feed_forward=false,scale=false}]"]),
]
SMALL = (2, 16)  # windows and their time steps
SEEDS = (1, 2, 3)  # a relu's input that is rounding noise around zero has either slope: what is the same agrees for most seeds


class Comparison:
    """What PopH computes for one experiment: a training step, layers, or composed notes."""

    def __init__(self, bench, what, command, experiment, overrides=(), more=()):
        self.bench, self.what, self.command, self.experiment = bench, what, command, experiment
        self.overrides, self.more = overrides, more

    def dump(self, seed, number):
        model = [*self.bench.model(self.experiment, *SMALL), *self.overrides, f"seed={seed}"]
        return self.bench.dump(self.command, model, *self.more).rename(self.bench.folder / f"check-{number}.safetensors")


def compare(bench, asked, variant="eager"):
    """Every loss, gradient and first update, every layer's result and gradient, every note composed."""
    for seed in SEEDS:
        paths = [one.dump(seed, number) for number, one in enumerate(asked)]
        command = [bench.peers.python, HERE / "peer_torch.py", "check", *paths, "--variant", variant, *["--double"] * bench.args.double]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"the comparison with PyTorch ended with status {done.returncode}: {last_line(done.stderr)}")
        differ = []
        for one, path, line in zip(asked, paths, done.stdout.splitlines(), strict=True):
            found = json.loads(line)
            parts = ", ".join(f"{name} {worst['relative']:.1e} ({worst['of']})" for name, worst in found["worst"].items())
            say("the same as PyTorch's:" if found["same"] else f"differs from PyTorch's with seed {seed}:", f"{one.what}: {parts}")
            differ += [] if found["same"] else [one]
            path.unlink()
        asked = differ
        if not asked:
            return
    raise Failed(f"not the same as PyTorch's: {'; '.join(one.what for one in asked)}")


def steps(bench, models):
    return [Comparison(bench, " ".join(["step of", pathlib.Path(experiment).stem, *overrides]), "steps", experiment, overrides)
            for experiment, overrides in models]


def composed(bench):
    return [Comparison(bench, f"composed with {'context 4' if context else 'carried state'}", "composing", "sa_lstm_lstm", (),
                       ["--pieces", "2", "--context", str(context)]) for context in (0, 4)]


def layers(bench):
    return [Comparison(bench, "layers of sa_lstm_lstm", "layers", "sa_lstm_lstm")]


def every_model(bench):
    if not bench.peers.has("torch"):
        raise Failed("there is nothing to compare with")
    compare(bench, steps(bench, SWITCHES))
    compare(bench, layers(bench), "eager+layers")
    for variant in ("eager", "cells"):
        compare(bench, composed(bench), variant)


def what_is_timed(bench):
    only = bench.args.only
    if not set(only) & {"step", "layers", "composing"} or not bench.peers.has("torch"):
        return
    asked = steps(bench, [(experiment, []) for experiment in bench.args.experiments]) if "step" in only else []
    asked += composed(bench) if "composing" in only else []
    if asked:
        compare(bench, asked)
    if "layers" in only:
        compare(bench, layers(bench), "eager+layers")
