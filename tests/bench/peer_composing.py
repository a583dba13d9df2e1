"""Composing with the peer: MODEL.md "Composing", all pieces together, in PyTorch."""
import sys

import torch
import torch.nn.functional as F

from peer_model import BEATS, LstmBlock

PATIENCE, WARMING = 16, 0.1


def lstm_cell(gates, c):
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Composer:
    """Blocks up to the conditioning point run a step at a time (with a context: its whole window), the LSTM along notes note by note.

    Its variants: "cells" spells the LSTM cell out, and what all notes of a step need from the time part is one product then;
    "compiled" puts torch.compile around that; "graph" makes a step one CUDA graph, so all that lasts is changed in place.
    """

    def __init__(self, model, pieces, context, how, device):
        s = self.settings = model.settings
        self.model, self.pieces, self.context, self.how = model.eval(), pieces, context, how
        self.before, self.after = list(model.blocks[: s.entry]), list(model.blocks[s.entry :])
        if s.entry < 0 or not s.condition or any(not isinstance(block, LstmBlock) or block.along_time for block in self.after):
            sys.exit("peer_torch.py: this peer composes with models that end in an LSTM along notes")
        zeros = lambda *shape: torch.zeros(shape, device=device)
        state_of = lambda lstm: tuple(zeros(lstm.num_layers, pieces * s.notes, lstm.hidden_size) for _ in "hc")
        self.states = {block: [state_of(lstm) for lstm in block.lstms] for block in self.before if isinstance(block, LstmBlock)}
        self.history, self.beats = zeros(max(context, 1), pieces, s.notes, s.channels), zeros(max(context, 1), pieces, BEATS)
        self.silent, self.done = zeros(pieces), torch.zeros(1, dtype=torch.long, device=device)
        self.layers = [weights for block in self.after for weights in self.weights_of(block)]
        self.spelt_out = how.cells or how.compiled
        self.next_note = torch.compile(self.note_of_cells) if how.compiled else self.note_of_cells if how.cells else self.note_of_lstms
        if how.graph:
            self.capture(zeros(pieces, s.notes, 2))

    @staticmethod
    def weights_of(block):
        for lstm in block.lstms:
            for i in range(lstm.num_layers):
                yield tuple(getattr(lstm, f"{name}_l{i}") for name in ("weight_ih", "weight_hh", "bias_ih"))

    def time_part(self):
        x = self.model.features(self.history, self.beats)
        for block in self.before:
            if block not in self.states:
                x = block(x)
                continue
            y, states = block.carried(x.reshape(len(x), -1, x.shape[-1]), None if self.context else self.states[block])
            if not self.context:
                for old, new in zip(self.states[block], states):
                    for kept, value in zip(old, new):
                        kept.copy_(value)
            x = y.view(*x.shape[:3], -1)
        return x[-1]  # [P,N,F]

    def note_of_lstms(self, x, _, position, chosen, states):
        y, after = torch.cat([x[:, position], chosen], -1)[None], []
        for block, state in zip(self.after, states or [None] * len(self.after)):
            y, state = block.carried(y, state)
            after.append(state)
        return self.heads(y[0]), after

    def note_of_cells(self, x, projected, position, chosen, states):
        after = []
        gates = projected[:, position] + chosen @ self.layers[0][0][:, x.shape[-1] :].T
        for (weight_ih, weight_hh, bias), (h, c) in zip(self.layers, states):
            if after:
                gates = F.linear(after[-1][0], weight_ih, bias)
            after.append(lstm_cell(gates + h @ weight_hh.T, c))
        return self.heads(after[-1][0]), after

    def heads(self, h):
        return self.model.note_head(h), self.model.volume_head(h) if self.settings.channels > 1 else None

    def compute(self, uniform):
        s = self.settings
        x = self.time_part()
        projected, states = None, None
        if self.spelt_out:
            weight_ih, _, bias = self.layers[0]
            projected = F.linear(x, weight_ih[:, : x.shape[-1]], bias)
            states = [(x.new_zeros(self.pieces, w.shape[1]), x.new_zeros(self.pieces, w.shape[1])) for _, w, _ in self.layers]
        temperature = 1 + WARMING * (self.silent - PATIENCE + 1).clamp(min=0)
        sounded = (self.history[-1, :, :, 0] > 0).float()
        chosen, notes = x.new_zeros(self.pieces, s.channels), []
        for position in range(s.notes):
            note = s.notes - 1 - position if s.descending else position
            (logits, volume), states = self.next_note(x, projected, position, chosen, states)
            chosen = (uniform[:, position, : logits.shape[1]] < torch.sigmoid(logits / temperature[:, None])).float()
            if s.channels > 1:
                play = chosen[:, 0]
                chosen = torch.stack([play, chosen[:, 1] * play * sounded[:, note], volume[:, 0].clamp(1 / 127, 1) * play], -1)
            notes.append(chosen)
        step = torch.stack(notes[::-1] if s.descending else notes, 1)
        self.silent.copy_(torch.where(step[..., 0].any(1), 0.0, self.silent + 1))
        beat = F.one_hot(self.done % BEATS, BEATS).float().expand(self.pieces, -1)
        self.history.copy_(torch.cat([self.history[1:], step[None]]))
        self.beats.copy_(torch.cat([self.beats[1:], beat[None]]))
        self.done += 1
        return step

    @torch.no_grad()
    def capture(self, uniform):
        self.uniform, side = uniform, torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute(uniform)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.composed = self.compute(uniform)

    @torch.no_grad()
    def step(self, uniform):
        """uniform [P,N,2], by place in the note order -> what was composed, [P,N,C], notes ascending."""
        if not self.how.graph:
            return self.compute(uniform)
        self.uniform.copy_(uniform)
        self.graph.replay()
        return self.composed


def check(model, tensors, how):
    """The share of our notes that the peer composes too, from the same random numbers; 1 means all."""
    uniform, ours, context = tensors["compose.uniform"], tensors["compose.cells"], int(tensors["compose.context"].item())
    composer = Composer(model, len(ours), context, how, "cpu")
    theirs = torch.stack([composer.step(uniform[step]) for step in range(len(uniform))], 1)
    channels = theirs.shape[-1]
    allowed = torch.tensor([0.0, 0.0, 0.51 / 127])[:channels]  # volumes are written as velocities
    return ((theirs - ours[..., :channels]).abs() <= allowed).double().mean().item()
