"""PopH's model in PyTorch: the peer that speed is measured against. tests/bench/run is what people call.

Starts from a file that `bench .. --dump` wrote: weights, experiment, and what the two are compared by.
"""
import json
import math
import struct
import sys
import tomllib

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

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


class Variant:
    """How the model is written in PyTorch: words with + between them, such as "compiled+layers"."""

    WORDS = {"eager", "compiled", "layers", "plain", "checkpoint", "malloc",     # malloc: tests/bench/run sets the environment
             "tf32", "amp_fp16", "amp_bf16", "bf16", "graph",                    # on a GPU
             "cells", "sdpa", "chunks", "flex"}                                  # composing; the long attention

    def __init__(self, name):
        words = set(name.split("+"))
        if words - self.WORDS:
            sys.exit(f"peer_torch.py: found variant {name!r}, expected words of {sorted(self.WORDS)} with + between them")
        for word in self.WORDS:
            setattr(self, word, word in words)
        self.autocast = torch.float16 if self.amp_fp16 else torch.bfloat16 if self.amp_bf16 else None


# -- the experiment, with the defaults of MODEL.md "Keys"
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

    def forward(self, x, lstms=None):
        steps, batch, notes, _ = x.shape
        x = x.reshape(steps, batch * notes, -1) if self.along_time else x.permute(2, 0, 1, 3).reshape(notes, steps * batch, -1)
        for lstm in lstms or self.lstms:
            x = F.dropout(lstm(x)[0], self.dropout, self.training)
        return x.view(steps, batch, notes, -1) if self.along_time else x.view(notes, steps, batch, -1).permute(1, 2, 0, 3)

    def carried(self, x, states):
        """x [steps, rows, F] and the state that an earlier call left -> y and the state after it; no dropout."""
        new = []
        for lstm, state in zip(self.lstms, states or [None] * len(self.lstms)):
            x, state = lstm(x, state)
            new.append(state)
        return x, new

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
    def __init__(self, settings, inputs, masked, how):
        super().__init__()
        self.settings, self.masked, self.how, self.outputs = settings, masked, how, inputs
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

        def attention(q, k, v):
            if not self.how.plain:
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
            scores = (q * scale) @ k.transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask, -math.inf)
            return F.dropout(torch.softmax(scores, -1), dropout, self.training) @ v

        if self.how.checkpoint and along_time:  # a window at a time, computed again in the backward pass
            y = torch.cat([checkpoint(attention, *(x[b : b + 1] for x in (q, k, v)), use_reentrant=False) for b in range(batch)])
        else:
            y = attention(q, k, v)
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
    """[24 keys, 12 pitch classes]: what a pitch class costs in a key (MODEL.md "Losses")."""
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
    def __init__(self, settings, how=Variant("eager")):
        super().__init__()
        s = self.settings = settings
        self.octave_conv = nn.Conv1d(s.channels, s.octave_units, KERNEL)
        width, blocks = 1 + PITCH_CLASSES + 1 + s.octave_units + BEATS, []
        for i, block in enumerate(s.blocks):
            if s.condition and i == s.entry:
                width += s.channels
            if block["kind"].startswith("lstm"):
                blocks.append(LstmBlock(block, width, s.dropout, how.layers))
            else:
                masked = s.entry >= 0 and i >= s.entry and block["mask"] == "auto"
                blocks.append(AttentionBlock(block, width, masked, how))
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

    def convolved(self, roll):
        """[T,B,N,C] -> [T*B,U,N]"""
        steps, batch, notes, channels = roll.shape
        patches = F.pad(roll.reshape(steps * batch, notes, channels).transpose(1, 2), (BELOW, KERNEL - 1 - BELOW))
        return self.octave_conv(patches)

    def features(self, roll, beat):
        s = self.settings
        drop = lambda x, p: F.dropout(x, p, self.training)
        roll, beat = drop(roll, s.input_dropout), drop(beat, s.input_dropout)
        steps, batch, notes, _ = roll.shape
        conv = drop(torch.tanh(self.convolved(roll)), s.dropout).transpose(1, 2)
        x = torch.cat([self.place.expand(steps, batch, -1, -1), (roll[..., 0] @ self.same_class)[..., None],
                       conv.reshape(steps, batch, notes, -1), beat[:, :, None].expand(-1, -1, notes, -1)], -1)
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
    ours = {name for name in tensors if not name.startswith(("batch.", "loss.", "gradient.", "updated.", "layer.", "compose."))}
    assert ours == set(weights), ours ^ set(weights)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(tensors[name])
