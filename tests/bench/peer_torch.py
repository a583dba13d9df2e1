#!/usr/bin/env python3
"""PopH's model in PyTorch: the peer that training speed is measured against. tests/bench/run is what people call.

Starts from a file that `step --dump` wrote: weights, experiment, a batch and, for --check, our losses and gradients.
"""
import argparse
import json
import math
import resource
import struct
import sys
import time
import tomllib

import torch
import torch.nn.functional as F
from torch import nn

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32}
PITCH_CLASSES, KERNEL, BELOW, BEATS = 12, 24, 11, 16


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        tensors[name] = torch.frombuffer(data[begin:end], dtype=dtype).reshape(entry["shape"]).clone()
    return tensors, tomllib.loads(metadata["config"])


# -- the experiment, with the defaults of SPEC 12
class Settings:
    def __init__(self, toml):
        data, model, loss = (toml.get(part, {}) for part in ("data", "model", "loss"))
        self.channels = len(data.get("channels", ["play", "replay", "volume"]))
        self.lowest_note, self.notes = data.get("lowest_note", 36), data.get("notes", 48)
        self.window, self.batch = data.get("window", 128), toml.get("train", {}).get("batch", 32)
        self.octave_units = model.get("octave_units", 64)
        self.descending = model.get("note_order", "descending") == "descending"
        self.condition = model.get("condition", True)
        self.input_dropout, self.dropout = model.get("input_dropout", 0.2), model.get("dropout", 0.5)
        self.blocks = [self.block(given) for given in model["blocks"]]
        self.sum_notes = loss.get("notes", "mean") == "sum"
        harmony = {"weight": 0.1, "input": "softmax", "matrix": "diatonic", "span": 1, "reduction": "mean"}
        self.harmony = harmony | loss.get("harmony", {})
        self.learning_rate = toml.get("train", {}).get("learning_rate", 0.002)
        self.optimizer = toml.get("train", {}).get("optimizer", "nadam")
        self.entry = next((i + 1 for i, b in enumerate(self.blocks[:-1]) if b["kind"] == "lstm_time"), -1)

    @staticmethod
    def block(given):
        if given["kind"].startswith("lstm"):
            return {"layers": 2, "units": 256 if given["kind"] == "lstm_time" else 128} | given
        return {"heads": 4, "head_dim": 64, "residual": True, "norm": "post", "feed_forward": True, "query_gate": False,
                "scale": True, "dropout": 0.1, "mask": "auto"} | given


# -- blocks: x[T,B,N,F] -> [T,B,N,F']
class LstmBlock(nn.Module):
    """Along notes the LSTM reads [N, T*B, F]; what it gives back is a view, which the heads take as it is."""

    def __init__(self, settings, inputs, dropout, one_layer_each):
        super().__init__()
        self.along_time, self.dropout = settings["kind"] == "lstm_time", dropout
        units, layers = settings["units"], settings["layers"]
        if one_layer_each:
            self.lstms = nn.ModuleList(nn.LSTM(units if i else inputs, units) for i in range(layers))
        else:
            self.lstms = nn.ModuleList([nn.LSTM(inputs, units, layers, dropout=dropout if layers > 1 else 0)])
        self.outputs = units

    def forward(self, x):
        steps, batch, notes, _ = x.shape
        x = x.reshape(steps, batch * notes, -1) if self.along_time else x.permute(2, 0, 1, 3).reshape(notes, steps * batch, -1)
        for lstm in self.lstms:
            x = F.dropout(lstm(x)[0], self.dropout, self.training)
        return x.view(steps, batch, notes, -1) if self.along_time else x.view(notes, steps, batch, -1).permute(1, 2, 0, 3)

    def weights(self):
        """(our name, PyTorch's parameter); the second bias, which we do not have, stays zero and is not trained."""
        layer = 0
        for lstm in self.lstms:
            for i in range(lstm.num_layers):
                for ours, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
                    yield f"layers.{layer}.{ours}", getattr(lstm, f"{theirs}_l{i}")
                unused = getattr(lstm, f"bias_hh_l{i}")
                unused.requires_grad_(False).zero_()
                layer += 1


class AttentionBlock(nn.Module):
    def __init__(self, settings, inputs, masked, sdpa):
        super().__init__()
        self.settings, self.masked, self.sdpa, self.outputs = settings, masked, sdpa, inputs
        inner = settings["heads"] * settings["head_dim"]
        self.query, self.key, self.value = (nn.Linear(inputs, inner, bias=False) for _ in range(3))
        self.output = nn.Linear(inner, inputs, bias=False)
        if settings["norm"] != "none":
            self.norm1 = nn.LayerNorm(inputs)
            if settings["feed_forward"]:
                self.norm2 = nn.LayerNorm(inputs)
        if settings["feed_forward"]:
            self.feed_forward = nn.ModuleList([nn.Linear(inputs, 4 * inputs), nn.Linear(4 * inputs, inputs)])

    def attend(self, h):
        s, (steps, batch, notes, _) = self.settings, h.shape
        along_time = s["kind"] == "attention_time_notes"
        if along_time:
            h = h.transpose(0, 1).reshape(batch, steps * notes, -1)
        else:
            h = h.reshape(steps * batch, notes, -1)
        q, k, v = (p(h).unflatten(-1, (s["heads"], s["head_dim"])).transpose(1, 2) for p in (self.query, self.key, self.value))
        scale = 1 / math.sqrt(s["head_dim"]) if s["scale"] else 1.0
        mask = None
        if self.masked or along_time:
            step = torch.arange(h.shape[1], device=h.device) // (1 if self.masked else notes)
            mask = step[:, None] >= step[None, :]
        dropout = s["dropout"] if self.training else 0.0
        if self.sdpa:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        else:
            scores = (q * scale) @ k.transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask, -math.inf)
            y = F.dropout(torch.softmax(scores, -1), dropout, self.training) @ v
        if s["query_gate"]:
            y = y * q
        y = self.output(y.transpose(1, 2).flatten(-2))
        return y.view(batch, steps, notes, -1).transpose(0, 1) if along_time else y.view(steps, batch, notes, -1)

    def forward(self, x):
        s = self.settings

        def around(x, inner, norm):
            y = inner(norm(x) if s["norm"] == "pre" else x)
            y = x + y if s["residual"] else y
            return norm(y) if s["norm"] == "post" else y

        z = around(x, self.attend, getattr(self, "norm1", None))
        if not s["feed_forward"]:
            return z
        wide, narrow = self.feed_forward
        fed = lambda h: F.dropout(narrow(F.relu(wide(h))), s["dropout"], self.training)
        return around(z, fed, getattr(self, "norm2", None))

    def weights(self):
        return self.named_parameters()


# -- the model
def key_profiles(matrix):
    """[24 keys, 12 pitch classes]: what a pitch class costs in a key (SPEC 6)."""
    scales = {"diatonic": [0, 2, 3, 5, 7, 8, 10], "harmonic_minor": [0, 2, 3, 5, 7, 8, 11], "melodic_minor": [0, 2, 3, 5, 7, 9, 11]}
    if matrix == "krumhansl":
        major = torch.tensor([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
        minor = torch.tensor([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
        major, minor = 1 - major / major[0], 1 - minor / minor[0]
    else:
        major, minor = torch.ones(12), torch.ones(12)
        major[[0, 4, 7] if matrix == "triad" else [0, 2, 4, 5, 7, 9, 11]] = 0
        minor[[0, 3, 7] if matrix == "triad" else scales[matrix]] = 0
    return torch.stack([profile.roll(tonic) for profile in (major, minor) for tonic in range(12)])


class Biaxial(nn.Module):
    def __init__(self, settings, one_layer_each=False, sdpa=True):
        super().__init__()
        s = self.settings = settings
        self.octave_conv = nn.Conv1d(s.channels, s.octave_units, KERNEL)
        width, blocks = 1 + PITCH_CLASSES + 1 + s.octave_units + BEATS, []
        for i, block in enumerate(s.blocks):
            if s.condition and i == s.entry:
                width += s.channels
            if block["kind"].startswith("lstm"):
                blocks.append(LstmBlock(block, width, s.dropout, one_layer_each))
            else:
                masked = s.entry >= 0 and i >= s.entry and block["mask"] == "auto"
                blocks.append(AttentionBlock(block, width, masked, sdpa))
            width = blocks[-1].outputs
        self.blocks = nn.ModuleList(blocks)
        self.note_head = nn.Linear(width, min(s.channels, 2))
        self.volume_head = nn.Linear(width, 1) if s.channels > 1 else None
        pitch_class = (s.lowest_note + torch.arange(s.notes)) % PITCH_CLASSES
        fold = F.one_hot(pitch_class, PITCH_CLASSES).float()               # [N,12]
        place = torch.cat([torch.arange(s.notes).float()[:, None] / s.notes, fold], 1)
        for name, constant in (("fold", fold), ("same_class", fold @ fold.T), ("place", place), ("keys", key_profiles(s.harmony["matrix"]))):
            self.register_buffer(name, constant, persistent=False)

    def weights(self):
        """Every trained parameter under the name that PopH's checkpoints give it."""
        found = {f"octave_conv.{name}": p for name, p in self.octave_conv.named_parameters()}
        for i, block in enumerate(self.blocks):
            found |= {f"blocks.{i}.{name}": p for name, p in block.weights()}
        for name, head in (("note_head", self.note_head), ("volume_head", self.volume_head)):
            if head is not None:
                found |= {f"{name}.{part}": p for part, p in head.named_parameters()}
        return found

    def features(self, roll, beat):
        s = self.settings
        drop = lambda x, p: F.dropout(x, p, self.training)
        roll, beat = drop(roll, s.input_dropout), drop(beat, s.input_dropout)
        steps, batch, notes, channels = roll.shape
        patches = F.pad(roll.view(steps * batch, notes, channels).transpose(1, 2), (BELOW, KERNEL - 1 - BELOW))
        conv = drop(torch.tanh(self.octave_conv(patches)), s.dropout).transpose(1, 2)
        x = torch.cat([self.place.expand(steps, batch, -1, -1), (roll[..., 0] @ self.same_class)[..., None],
                       conv.view(steps, batch, notes, -1), beat[:, :, None].expand(-1, -1, notes, -1)], -1)
        return x.flip(2) if s.descending else x

    def chosen(self, target):
        target = target.flip(2) if self.settings.descending else target
        return F.dropout(F.pad(target, (0, 0, 1, 0))[:, :, :-1], self.settings.input_dropout, self.training)

    def forward(self, roll, target, beat):
        """roll and target [T,B,N,C], beat [T,B,16] -> losses by name."""
        x = self.features(roll, beat)
        for i, block in enumerate(self.blocks):
            if self.settings.condition and i == self.settings.entry:
                x = torch.cat([x, self.chosen(target)], -1)
            x = block(x)
        return self.losses(x, target)

    def losses(self, x, target):
        s = self.settings
        target = target.flip(2) if s.descending else target   # the heads' output is in note order too
        fold = self.fold.flip(0) if s.descending else self.fold
        factor = s.notes if s.sum_notes else 1.0
        notes = self.note_head(x)
        play, logit = target[..., 0], notes[..., 0]
        bce = F.binary_cross_entropy_with_logits
        losses = {"play": bce(logit, play) * factor}
        if s.channels > 1:
            losses["replay"] = (play * bce(notes[..., 1], target[..., 1], reduction="none")).mean() * factor
            losses["volume"] = (play * (target[..., 2] - self.volume_head(x)[..., 0]) ** 2).mean() * factor
        losses["total"] = sum(losses.values())
        losses["harmony"] = self.harmony(logit, fold)
        losses["total"] = losses["total"] + s.harmony["weight"] * losses["harmony"]
        return losses

    def harmony(self, logit, fold):
        s = self.settings.harmony
        folded = torch.sigmoid(logit) @ fold
        if s["input"] == "softmax":
            folded = torch.softmax(folded, -1)
        distance = folded @ self.keys.T
        if s["span"] > 1:
            distance = distance.unflatten(0, (-1, s["span"])).mean(1)
        nearest = distance.min(-1).values
        return nearest.mean() if s["reduction"] == "mean" else nearest.square().mean()


def make_optimizer(model, settings):
    parameters = list(model.weights().values())
    if settings.optimizer == "nadam":
        return torch.optim.NAdam(parameters, lr=settings.learning_rate, eps=1e-7, momentum_decay=0.004)
    sys.exit(f"peer_torch.py: train.optimizer = {settings.optimizer!r}; this peer has nadam alone")


def load_weights(model, tensors):
    weights = model.weights()
    ours = {name for name in tensors if not name.startswith(("batch.", "loss.", "gradient.", "updated."))}
    assert ours == set(weights), ours ^ set(weights)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(tensors[name])


# -- is it the same model?
def relative(found, expected):
    """How far apart two tensors are, by norm, next to the expected one's."""
    return ((found.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30)).item()


def check(model, settings, tensors, precision):
    """Our losses, gradients and first update against PyTorch's; False where they differ."""
    model.eval()
    batch = [tensors["batch." + name].to(next(model.parameters()).dtype) for name in ("input", "target", "beat")]
    losses = model(*batch)
    losses["total"].backward()
    weights = model.weights()
    worst = {"loss": max((relative(value.detach(), tensors["loss." + name]), name) for name, value in losses.items()),
             "gradient": max((relative(weights[name].grad, tensors["gradient." + name]), name) for name in weights)}
    before = {name: parameter.detach().clone() for name, parameter in weights.items()}
    make_optimizer(model, settings).step()
    worst["update"] = max((relative(weights[name].detach() - before[name], tensors["updated." + name] - tensors[name]), name)
                          for name in weights)
    every = torch.cat([weights[name].grad.double().flatten() for name in weights])
    expected = torch.cat([tensors["gradient." + name].double().flatten() for name in weights])
    result = {"gradient_all": relative(every, expected)} | {what: {"relative": value, "of": name} for what, (value, name) in worst.items()}
    # Nadam's first update is near lr * sign(gradient): where a gradient is rounding noise, so is its update.
    allowed = {"loss": precision, "gradient": precision, "update": 1000 * precision}
    same = all(worst[what][0] <= allowed[what] for what in worst)
    print(json.dumps({"same": same} | result), flush=True)
    return same


# -- how fast is it?
VARIANTS = {  # name: (one LSTM per layer, fused attention, compiled parts)
    "eager": (False, True, False),
    "eager_plain_attention": (False, False, False),
    "eager_layers": (True, True, False),
    "eager_layers_plain_attention": (True, False, False),
    "compiled": (False, False, True),
    "compiled_layers": (True, False, True),
}


def compile_parts(model):
    """Everything but the LSTMs, which torch.compile makes slower."""
    model.features = torch.compile(model.features)
    model.losses = torch.compile(model.losses)
    for block in model.blocks:
        if isinstance(block, AttentionBlock):
            block.forward = torch.compile(block.forward)


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def serve(model, settings, tensors, warm_up, repeats):
    """A timed step per line of standard input, or `repeats` of them."""
    optimizer = make_optimizer(model, settings)
    batch = [tensors["batch." + name] for name in ("input", "target", "beat")]
    sets = [[torch.roll(x, i, 1) for x in batch] for i in range(4)]  # four batches in turn, as `step` has
    model.train()

    def step(number):
        optimizer.zero_grad(set_to_none=True)
        total = model(*sets[number % 4])["total"]
        value = total.item()
        total.backward()
        optimizer.step()
        return value

    for number in range(warm_up):
        step(number)
    print(json.dumps({"who": "PyTorch " + torch.__version__, "threads": torch.get_num_threads(),
                      "parameters": sum(p.numel() for p in model.weights().values()),
                      "cpu_capability": torch.backends.cpu.get_cpu_capability(), "onednn": torch.backends.mkldnn.enabled}), flush=True)
    for number, _ in enumerate(range(repeats) if repeats else sys.stdin, warm_up):
        cpu, wall = usage()[0], time.perf_counter()
        loss = step(number)
        wall = time.perf_counter() - wall
        used, peak = usage()
        print(json.dumps({"wall": round(wall, 4), "cpu": round(used - cpu, 4), "loss": round(loss, 6), "peak_mb": peak}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dump", help="what `step --dump` wrote")
    parser.add_argument("--variant", choices=VARIANTS, default="eager")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=0, help="0: a step per line of standard input")
    parser.add_argument("--check", action="store_true", help="compare losses and gradients, and end")
    parser.add_argument("--double", action="store_true", help="check in float64: what is left is PopH's rounding alone")
    parser.add_argument("--precision", type=float, default=1e-5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    tensors, toml = read_safetensors(args.dump)
    settings = Settings(toml)
    one_layer_each, sdpa, compiled = VARIANTS[args.variant]
    model = Biaxial(settings, one_layer_each, sdpa)
    load_weights(model, tensors)
    if args.double:
        model.double()
    if compiled:
        compile_parts(model)
    if args.check:
        sys.exit(0 if check(model, settings, tensors, args.precision) else 1)
    serve(model, settings, tensors, args.warm_up, args.repeats)


if __name__ == "__main__":
    main()
