"""Before anything is timed: do PopH and the peer compute the same?"""
import json
import pathlib
import subprocess
import sys

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


def dump(bench, number, command, experiment, overrides=(), more=()):
    path = bench.dump(command, [*bench.model(experiment, *SMALL), *overrides], *more)
    return path.rename(bench.folder / f"check-{number}.safetensors")


def compare(bench, asked, variant="eager"):
    """asked: (what it is, file). Every loss, gradient and first update, every layer's result and gradient, every note composed."""
    command = [bench.peers.python, HERE / "peer_torch.py", "check", *[path for _, path in asked], "--variant", variant]
    done = subprocess.run([str(word) for word in command + ["--double"] * bench.args.double], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"the comparison with PyTorch ended with status {done.returncode}: {last_line(done.stderr)}")
    failed = 0
    for (what, path), line in zip(asked, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        failed += not found["same"]
        parts = ", ".join(f"{name} {worst['relative']:.1e} ({worst['of']})" for name, worst in found["worst"].items())
        say("the same as PyTorch's:" if found["same"] else "DIFFERS from PyTorch's:", f"{what}: {parts}")
        path.unlink()
    if failed:
        raise Failed(f"{failed} of {len(asked)} are not the same as PyTorch's")


def steps(bench, models):
    return [(f"step of {pathlib.Path(experiment).stem} {' '.join(overrides)}".strip(), dump(bench, i, "steps", experiment, overrides))
            for i, (experiment, overrides) in enumerate(models)]


def composed(bench):
    return [(f"composed with {'context 4' if context else 'carried state'}",
             dump(bench, f"composed-{context}", "composing", "sa_lstm_lstm", (), ["--pieces", "2", "--context", str(context)])) for context in (0, 4)]


def every_model(bench):
    if not bench.peers.has("torch"):
        sys.exit(1)
    compare(bench, steps(bench, SWITCHES))
    compare(bench, [("layers", dump(bench, "layers", "layers", "sa_lstm_lstm"))], "eager+layers")
    for variant in ("eager", "cells"):
        compare(bench, composed(bench), variant)


def what_is_timed(bench):
    args, asked = bench.args, []
    if not set(args.only) & {"step", "layers", "composing"} or not bench.peers.has("torch"):
        return
    if "step" in args.only:
        asked += steps(bench, [(experiment, []) for experiment in args.experiments])
    if "composing" in args.only:
        asked += composed(bench)
    if asked:
        compare(bench, asked)
    if "layers" in args.only:
        compare(bench, [("layers", dump(bench, "layers", "layers", "sa_lstm_lstm"))], "eager+layers")
