#!/usr/bin/env python3
"""The peer's side of the measurements, in PyTorch: what build/bench is for PopH. tests/bench/run is what people call.

A line of JSON says what is measured; then each line of standard input asks for one measurement and is answered by a line of JSON.
"""
import argparse
import contextlib
import json
import re
import resource
import sys
import time

import torch
import torch.nn.functional as F

import peer_composing
from peer_model import AttentionBlock, Biaxial, LstmBlock, Settings, Variant, load_weights, read_safetensors


# -- is it the same model?
def relative(found, expected):
    """How far apart two tensors are, by norm, next to the expected one's."""
    return ((found.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30)).item()


def check_step(model, settings, tensors):
    """Our losses, gradients and first update against PyTorch's."""
    batch = [tensors["batch." + name].to(next(model.parameters()).dtype) for name in ("input", "target", "beat")]
    losses = model(*batch)
    losses["total"].backward()
    weights = model.weights()
    worst = {"loss": max((relative(value.detach(), tensors["loss." + name]), name) for name, value in losses.items()),
             "gradient": max((relative(weights[name].grad, tensors["gradient." + name]), name) for name in weights)}
    before = {name: parameter.detach().clone() for name, parameter in weights.items()}
    make_optimizer(model, settings).step()
    # Nadam's first update is near lr * sign(gradient): where a gradient is rounding noise, so is its update.
    worst["update / 1000"] = max((relative(weights[name].detach() - before[name], tensors["updated." + name] - tensors[name]) / 1000, name)
                                 for name in weights)
    return worst


def check_layers(model, settings, tensors):
    worst = {"result": (0.0, ""), "gradient": (0.0, "")}
    for name, layer in layers_of(model, settings, tensors["batch.target"]).items():
        given = {part: tensors.get(f"layer.{name}.{part}") for part in ("x", "y", "dy", "dx")}
        x = given["x"].requires_grad_(given["dx"] is not None)
        y = layer(x)
        y.backward(given["dy"])
        worst["result"] = max(worst["result"], (relative(y.detach(), given["y"]), name))
        if given["dx"] is not None:
            worst["gradient"] = max(worst["gradient"], (relative(x.grad, given["dx"]), name))
    return worst


def check(args):
    for dump in args.dumps:
        tensors, toml = read_safetensors(dump)
        settings, how = Settings(toml), Variant(args.variant)
        model = Biaxial(settings, how)
        load_weights(model, tensors)
        model.double() if args.double else model
        model.eval()
        if "compose.cells" in tensors:
            worst = {"other notes": (1 - peer_composing.check(model, tensors, how), "composed")}
        elif "loss.total" in tensors:
            worst = check_step(model, settings, tensors)
        else:
            worst = check_layers(model, settings, tensors)
        same = all(value <= args.precision for value, _ in worst.values())
        print(json.dumps({"same": same, "worst": {what: {"relative": value, "of": name} for what, (value, name) in worst.items()}}), flush=True)


# -- how fast is it?
class Stopwatch:
    """Wall and CPU seconds of all threads, the GPU's work included."""

    def __init__(self, device):
        self.device = device
        self.lap()

    def lap(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        used, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        cpu = used.ru_utime + used.ru_stime
        if hasattr(self, "wall"):
            spent = {"wall": wall - self.wall, "cpu": cpu - self.cpu}
        else:
            spent = {}
        self.wall, self.cpu = wall, cpu
        return spent


def peak_megabytes(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    with open("/proc/self/status") as status:  # getrusage would count the process that started this one too
        return int(re.search(r"VmHWM:\s*(\d+)", status.read())[1]) / 1024


def serve(about, measure):
    about = {"who": "PyTorch " + torch.__version__, "threads": torch.get_num_threads(), "cpu_capability": torch.backends.cpu.get_cpu_capability(),
             "onednn": torch.backends.mkldnn.enabled} | about
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(line.strip())), flush=True)


def make_optimizer(model, settings, capturable=False):
    parameters = list(model.weights().values())
    if settings.optimizer == "nadam":
        return torch.optim.NAdam(parameters, lr=settings.learning_rate, eps=1e-7, momentum_decay=0.004, capturable=capturable)
    sys.exit(f"peer_torch.py: train.optimizer = {settings.optimizer!r}; this peer has nadam alone")


def compile_parts(model):
    """Everything but the LSTMs, which torch.compile makes slower."""
    for name in ("convolved", "features", "losses"):
        setattr(model, name, torch.compile(getattr(model, name)))
    for block in model.blocks:
        if isinstance(block, AttentionBlock):
            block.forward = torch.compile(block.forward)


def open_model(args):
    tensors, toml = read_safetensors(args.dump)
    settings, how = Settings(toml), Variant(args.variant)
    model = Biaxial(settings, how)
    load_weights(model, tensors)
    model = model.to(args.device, torch.bfloat16 if how.bf16 else torch.float32)
    return model, settings, tensors, how


def casting(how, device):
    return torch.autocast(device, how.autocast) if how.autocast else contextlib.nullcontext()


class Step:
    """A training step, its upload to the device included. With "graph" everything after that is one CUDA graph."""

    def __init__(self, model, settings, tensors, how, device):
        self.model, self.how, self.device = model.train(), how, device
        self.optimizer = make_optimizer(model, settings, capturable=how.graph)
        self.scaler = torch.amp.GradScaler(device) if how.amp_fp16 else None
        batch = [tensors["batch." + name].to(next(model.parameters()).dtype) for name in ("input", "target", "beat")]
        self.sets = [[torch.roll(x, i, 1) for x in batch] for i in range(4)]  # four batches in turn, as PopH has
        if device == "cuda":
            self.sets = [[x.pin_memory() for x in batch] for batch in self.sets]
        if how.compiled:
            compile_parts(model)
        if how.graph:
            self.capture()

    def compute(self, batch):
        with casting(self.how, self.device):
            total = self.model(*batch)["total"]
        if self.scaler:
            self.scaler.scale(total).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            total.backward()
            self.optimizer.step()
        return total

    def capture(self):
        self.batch = [x.to(self.device) for x in self.sets[0]]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.optimizer.zero_grad(set_to_none=True)
                self.compute(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.total = self.compute(self.batch)

    def __call__(self, number):
        batch = self.sets[number % 4]
        if self.how.graph:
            for static, host in zip(self.batch, batch):
                static.copy_(host, non_blocking=True)
            self.graph.replay()
            return self.total.item()
        self.optimizer.zero_grad(set_to_none=True)
        return self.compute([x.to(self.device, non_blocking=True) for x in batch]).item()


def steps(args):
    model, settings, tensors, how = open_model(args)
    step, done = Step(model, settings, tensors, how, args.device), 0
    while done < args.warm_up:
        step(done)
        done += 1

    def measure(_):
        nonlocal done
        watch = Stopwatch(args.device)
        loss = step(done)
        done += 1
        return watch.lap() | {"loss": loss, "peak_mb": peak_megabytes(args.device)}

    serve({"parameters": sum(p.numel() for p in model.weights().values())}, measure)


def layers_of(model, settings, target):
    """Name -> what maps x [T,B,N,F] to y, of which the last is the loss."""
    layers = {"octave_conv": lambda x: model.convolved(x).transpose(1, 2).reshape(*x.shape[:3], -1)}
    for i, block in enumerate(model.blocks):
        if isinstance(block, LstmBlock):
            for k, lstm in enumerate(block.lstms):
                layers[f"blocks.{i}.layers.{k}"] = lambda x, block=block, lstm=lstm: block(x, [lstm])
        else:
            layers[f"blocks.{i}"] = block
    layers["heads"] = lambda x: model.losses(x, target)["total"]
    return layers


def note_major(name, settings):
    """Whether a layer's input comes from an LSTM along notes, which leaves it with the notes outermost."""
    kinds = [block["kind"] for block in settings.blocks]
    if name == "heads":
        return kinds[-1] == "lstm_notes"
    found = re.fullmatch(r"blocks\.(\d+)(?:\.layers\.(\d+))?", name)
    if not found:
        return False
    block, layer = int(found[1]), int(found[2] or 0)
    return kinds[block] == "lstm_notes" if layer else block > 0 and kinds[block - 1] == "lstm_notes"


def layers(args):
    model, settings, tensors, how = open_model(args)
    model.train()
    if how.compiled:
        compile_parts(model)
    dtype = next(model.parameters()).dtype
    target = (torch.rand(args.window, args.batch, settings.notes, settings.channels) < 0.1).to(args.device, dtype)
    known = layers_of(model, settings, target)

    def input_of(name):
        width = tensors[f"layer.{name}.x"].shape[-1]
        sizes = (args.window, args.batch, settings.notes, width)
        if note_major(name, settings):
            return torch.randn(sizes[2], sizes[0], sizes[1], width, device=args.device, dtype=dtype).permute(1, 2, 0, 3)
        return torch.randn(sizes, device=args.device, dtype=dtype)

    inputs, gradients = {}, {}

    def measure(name):
        if name not in inputs:
            inputs[name] = input_of(name).requires_grad_(name != "octave_conv")
        x = inputs[name]
        x.grad = None
        model.zero_grad(set_to_none=True)
        with casting(how, args.device):
            if name not in gradients:
                with torch.no_grad():
                    y = known[name](x)
                gradients[name] = torch.randn_like(y) if y.dim() else None
            watch = Stopwatch(args.device)
            y = known[name](x)
        forward = watch.lap()
        y.backward(gradients[name])
        del y
        return {"forward": forward, "backward": watch.lap()}

    serve({}, measure)


def attention(args):
    how, heads, head_dim, notes, length = Variant(args.variant), 4, 64, 48, args.positions
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    start = peak_megabytes(args.device)
    q, k, v = (torch.randn(1, heads, length, head_dim, device=args.device, dtype=dtype, requires_grad=True) for _ in range(3))
    dy = torch.randn_like(q)
    place = {"causal": 1, "block_causal": notes}
    compiled = {}

    def visible(mask, first, last):  # rows first .. last of what each query sees
        step = torch.arange(length, device=args.device) // place[mask]
        return step[first:last, None] >= step[None, :last]

    def attend(mask):
        sdpa = F.scaled_dot_product_attention
        if mask == "full":
            return sdpa(q, k, v)
        if how.flex:
            from torch.nn.attention.flex_attention import create_block_mask, flex_attention
            if mask not in compiled:
                seen = lambda b, h, query, key: query // place[mask] >= key // place[mask]
                compiled[mask] = torch.compile(flex_attention), create_block_mask(seen, None, None, length, length, device=args.device)
            run, blocks = compiled[mask]
            return run(q, k, v, block_mask=blocks)
        if how.chunks:  # queries a part at a time, with the keys up to their own: half the work of a masked whole
            parts = []
            for first in range(0, length, 16 * notes):
                last = min(length, first + 16 * notes)
                parts.append(sdpa(q[:, :, first:last], k[:, :, :last], v[:, :, :last], attn_mask=visible(mask, first, last)))
            return torch.cat(parts, 2)
        return sdpa(q, k, v, is_causal=True) if mask == "causal" else sdpa(q, k, v, attn_mask=visible(mask, 0, length))

    def measure(request):
        mask, _, backward = request.partition(" ")
        for x in (q, k, v):
            x.grad = None
        watch = Stopwatch(args.device)
        if backward:
            attend(mask).backward(dy)
        else:
            with torch.no_grad():
                attend(mask)
        return watch.lap() | {"peak_mb": peak_megabytes(args.device)}

    serve({"start_mb": start}, measure)


def composing(args):
    model, settings, _, how = open_model(args)
    composer = peer_composing.Composer(model, args.pieces, args.context, how, args.device)
    step = lambda: composer.step(torch.rand(args.pieces, settings.notes, 2, device=args.device))
    for _ in range(args.warm_up):
        step()

    def measure(count):
        watch = Stopwatch(args.device)
        for _ in range(int(count)):
            step()
        spent = watch.lap()
        return {clock: value / int(count) for clock, value in spent.items()} | {"peak_mb": peak_megabytes(args.device)}

    serve({}, measure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="compare with what PopH found: a line of JSON for each file")
    command.add_argument("dumps", nargs="+", metavar="DUMP")
    command.add_argument("--double", action="store_true", help="in float64: what is left is PopH's rounding alone")
    command.add_argument("--precision", type=float, default=1e-5)
    command.set_defaults(run=check)
    for run in (steps, layers, attention, composing):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        if run != attention:
            command.add_argument("dump", help="what `bench .. --dump` wrote")
        command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        command.add_argument("--warm-up", type=int, default=1)
        command.add_argument("--batch", type=int, default=16)
        command.add_argument("--window", type=int, default=128)
        command.add_argument("--positions", type=int, default=6144)
        command.add_argument("--precision", choices=("float32", "tf32", "bf16"), default="float32")
        command.add_argument("--pieces", type=int, default=1)
        command.add_argument("--context", type=int, default=0)
    for command in commands.choices.values():
        command.add_argument("--variant", default="eager")
        command.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = Variant(args.variant).tf32
    args.run(args)


if __name__ == "__main__":
    main()
