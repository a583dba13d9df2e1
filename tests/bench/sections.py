"""The sections of the table: what is measured, against what, and the floor under it."""
import json
import os
import pathlib
import subprocess

from harness import BUILD, HERE, KEEP_MEMORY, ROOT, Failed, Row, Server, answers, quartiles, say, take_turns

ORDERINGS = ["lstm_lstm", "sa_lstm_lstm", "lstm_lstm_sa", "sa_lstm_lstm_sa", "sa_lstm_sa", "sa2d_lstm_lstm"]
CPU_VARIANTS = ["eager", "eager+malloc", "eager+plain+malloc", "eager+layers+malloc", "eager+layers+plain+malloc", "compiled+malloc",
                "compiled+layers+malloc"]
CHECKPOINTED = "eager+checkpoint+malloc"  # for attention whose scores do not fit in memory
GPU_VARIANTS = {"float32": ["eager", "compiled", "layers+graph"], "tf32": ["tf32", "tf32+compiled", "tf32+layers+graph"],
                "bf16": ["amp_bf16", "amp_fp16", "bf16", "amp_bf16+compiled", "amp_bf16+layers+graph"]}
COMPOSING_VARIANTS = {"cpu": ["eager+malloc", "cells+malloc", "compiled+malloc"], "cuda": ["eager", "cells", "cells+graph"]}
ATTENTION_VARIANTS = {"cpu": ["sdpa+malloc", "chunks+malloc", "flex+malloc"], "cuda": ["sdpa", "chunks", "flex"]}
QUICK = {"eager+malloc", "cells+malloc", "chunks+malloc", "eager", "tf32", "amp_bf16", "cells", "chunks"}

MIDI_READERS = [("symusic", None), ("mido", 0.5), ("pretty_midi", 0.5)]  # the slow ones read so many megabytes of the files

# Counted by hand for an H100: microseconds at B = 32, T = 128, N = 48 in bf16, the larger of its time for operations and for
# bytes; and operations a second (GF/s) where it has no such figure.
GPU_PEAK = {"float32": 67e3, "tf32": 400e3, "bf16": 798e3}
GPU_STEP_US = {"float32": 23700, "tf32": 6600, "bf16": 2700}
GPU_LAYER_US = {"octave_conv": (9, 17), "blocks.0": (57, 172), "blocks.1.layers.0": (214, 528), "blocks.1.layers.1": (258, 570),
                "blocks.2.layers.0": (135, 320), "blocks.2.layers.1": (117, 285), "heads": (18, 35)}

# The original's reader and encoder (python-midi and its midi_decode), measured on another machine: 12 files, 0.46 MB, 55 s.
ORIGINAL_MIDI = (0.0084, "the original, measured elsewhere")


class Bench:
    """One run of the harness: its settings, its peers and what it found."""

    def __init__(self, args, peers, folder):
        self.args, self.peers, self.folder, self.rows, self.about = args, peers, folder, [], {}
        self.ours = args.bench or BUILD / "bench"
        self.fma = 0.0 if args.device == "cuda" else self.fma_peak()

    def fma_peak(self):
        done = subprocess.run([self.ours, "--threads", str(self.args.threads), "fma-peak"], capture_output=True, text=True, check=True)
        self.about["fma_peak"] = json.loads(done.stdout)
        return self.about["fma_peak"]["gflops"]

    def server(self, *command):
        server = Server([self.ours, "--threads", self.args.threads, *command], self.args)
        self.about.setdefault("ours", {}).update(server.about)
        return server

    def peer(self, variant, *command):
        environment = KEEP_MEMORY if "malloc" in variant.split("+") else {}
        server = Server([self.peers.python, HERE / "peer_torch.py", *command, "--variant", variant, "--threads", self.args.threads,
                         "--device", self.args.device], self.args, environment)
        self.about["peer"] = server.about
        return server

    def model(self, experiment, batch, window=None):
        """What `bench` is told about a model."""
        file = experiment if pathlib.Path(experiment).exists() else ROOT / "experiments" / f"{experiment}.toml"
        return ["--batch", batch, "--window", window or self.args.window, file, *self.args.overrides]

    def on_device(self, precision):
        return ["--device", self.args.device], [] if self.args.device == "cpu" else [f"train.precision={precision}"]

    def dump(self, command, model, *more):
        path = self.folder / f"{command}.safetensors"
        subprocess.run([str(word) for word in [self.ours, command, "--dump", path, *more, *model]], check=True)
        return path

    def some(self, variants):
        return [variant for variant in variants if variant in QUICK] if self.args.quick else variants

    def add(self, row):
        self.rows.append(row)
        best = row.ratio("wall")
        say(f"{row.what}: {row.ours['wall'][len(row.ours['wall']) // 2]:.4g} {row.unit}",
            f"({best[1]:.2f} times as good as {row.peer_name})" if best else "")

    def contest(self, section, what, unit, found, floor, value=lambda answer, clock: answer[clock]):
        """A row of what take_turns found: ours, and the peer that does best by the clock."""
        values = {name: {clock: [value(answer, clock) for answer in given] for clock in ("wall", "cpu")} for name, given in found.items()}
        ours = values.pop("PopH")
        rows = [Row(section, what, unit, ours, peer, name, floor, self.args.threads) for name, peer in values.items()]
        self.add(min(rows, key=lambda row: row.ratio("wall")[1]) if rows else Row(section, what, unit, ours, None, "", floor, self.args.threads))


# -- 1. the training step
def step(bench):
    args = bench.args
    for precision in args.precisions:
        device, overrides = bench.on_device(precision)
        winners = {}
        for batch in args.batch:
            for ordering in args.experiments:
                model = [*device, *bench.model(ordering, batch), *overrides]
                floor = lambda gflop: floor_of_step(bench, gflop, ordering, precision, batch)
                step_row(bench, f"{pathlib.Path(ordering).stem}, B={batch}" + (f", {precision}" if args.device == "cuda" else ""), model, floor,
                         variants_of_step(bench, precision, ordering, min(batch, 16), winners))


def variants_of_step(bench, precision, ordering, batch, winners):
    """PyTorch's fastest way to write the model, as sa_lstm_lstm at this batch size shows; a step of each is enough to tell."""
    if not bench.peers.has("torch"):
        return []
    args = bench.args
    tried = bench.some(args.variants or (CPU_VARIANTS if args.device == "cpu" else GPU_VARIANTS[precision]))
    if batch not in winners:
        device, overrides = bench.on_device(precision)
        dump = bench.dump("steps", [*device, *bench.model("sa_lstm_lstm", batch), *overrides])
        times = {}
        for variant in tried if len(tried) > 1 else []:
            try:
                with bench.peer(variant, "steps", dump) as peer:
                    times[variant] = min(peer.ask()["wall"] for _ in range(2))
                say(f"heat at B={batch}: {variant} takes {times[variant]:.3f} s")
            except Failed as failure:
                say(f"{variant} is left out: {failure}")
        winners[batch] = min(times, key=times.get) if times else tried[0]
    return [winners[batch]] + ([CHECKPOINTED] if "sa2d" in str(ordering) and args.device == "cpu" else [])


def step_row(bench, what, model, floor, variants):
    args, found = bench.args, {}
    dump = bench.dump("steps", model) if variants else None
    with bench.server("steps", "--warm-up", 1, *model) as ours:
        gflop = ours.about["gflop"]
        for variant in variants:
            try:
                with bench.peer(variant, "steps", dump, "--warm-up", 1) as peer:
                    found = faster(found, take_turns({"PopH": ours, variant: peer}, "", args.repeats, args.seconds))
            except Failed as failure:
                say(f"{variant} is left out of {what}: {failure}")
        if not found:
            found["PopH"] = answers(ours, "", args.repeats, args.seconds)
    if len(found) == 1:  # both may not fit into memory at once: one after the other
        for variant in variants:
            try:
                with bench.peer(variant, "steps", dump, "--warm-up", 1) as peer:
                    found = faster(found, {"PopH": found["PopH"], variant: answers(peer, "", args.repeats, args.seconds)})
            except Failed as failure:
                say(f"{variant} does not run by itself either: {failure}")
    bench.contest("step", what, "s", found, floor(gflop))


def faster(a, b):
    """Of two outcomes of take_turns the one whose peer, if any, is faster."""
    wall = lambda found: [quartiles([answer["wall"] for answer in given])[1] for name, given in found.items() if name != "PopH"]
    return b if not wall(a) or (wall(b) and wall(b) < wall(a)) else a


def floor_of_step(bench, gflop, ordering, precision, batch):
    if bench.args.device == "cpu":
        return gflop / bench.fma
    if ordering == "sa_lstm_lstm":
        return GPU_STEP_US[precision] * 1e-6 * batch / 32 * bench.args.window / 128
    return gflop / GPU_PEAK[precision]


# -- 2. each layer
def layers(bench):
    args, batch = bench.args, 32 if bench.args.device == "cuda" else min(16, max(bench.args.batch))
    for precision in args.precisions:
        device, overrides = bench.on_device(precision)
        model = [*device, *bench.model("sa_lstm_lstm", batch), *overrides]
        variants = ["eager+malloc", "eager+plain+malloc", "compiled+malloc"] if args.device == "cpu" else GPU_VARIANTS[precision]
        variants = [variant + "+layers" for variant in bench.some(variants) if "graph" not in variant] if bench.peers.has("torch") else []
        dump = bench.dump("layers", ["--device", args.device, *bench.model("sa_lstm_lstm", 1, 4), *overrides])
        servers = {"PopH": bench.server("layers", *model)}
        for variant in variants:
            servers[variant] = bench.peer(variant, "layers", dump, "--batch", batch, "--window", args.window)
        for layer in servers["PopH"].about["layers"]:
            found = take_turns(servers, layer["name"], args.repeats, args.seconds / 2)
            for i, way in enumerate(("forward", "backward")):
                floor = layer[f"{way}_gflop"] / (bench.fma or GPU_PEAK[precision])
                if precision == "bf16" and args.device == "cuda":
                    floor = GPU_LAYER_US[layer["name"]][i] * 1e-6 * args.window / 128
                what = f"{layer['title']}: {way}, B={batch}" + (f", {precision}" if args.device == "cuda" else "")
                bench.contest("layers", what, "ms", found, 1e3 * floor, lambda answer, clock: 1e3 * answer[way][clock])
        for server in servers.values():
            server.stop()


# -- 3. long attention
def attention(bench):
    args = bench.args
    for precision in args.precisions:
        shape = lambda length: ["--positions", length, "--precision", precision]
        variants = [name + ("+tf32" if precision == "tf32" else "") for name in bench.some(ATTENTION_VARIANTS[args.device])]
        variants = variants if bench.peers.has("torch") else []
        suffix = f", {precision}" if args.device == "cuda" else ""
        servers = {"PopH": bench.server("attention", "--device", args.device, *shape(args.positions))}
        servers |= {variant: bench.peer(variant, "attention", *shape(args.positions)) for variant in variants}
        for mask in ("full", "causal", "block_causal"):
            gflop = servers["PopH"].about["forward_gflop"][mask]
            for backward, times in (("", 1), (" backward", 3)):
                found = take_turns(servers, mask + backward, args.repeats, args.seconds / 2)
                what = f"attention, {args.positions} positions, {mask.replace('_', '-')}: forward{' and backward' if backward else ''}{suffix}"
                bench.contest("attention", what, "s", found, times * gflop / (bench.fma or GPU_PEAK[precision]))
        for server in servers.values():
            server.stop()
        for mask in ("full", "block_causal"):  # memory: a process for each, for it never falls
            for times in (1, 2, 4):
                what = f"attention, {times * args.positions} positions, {mask.replace('_', '-')}: memory of forward and backward{suffix}"
                peak = lambda server: server.ask(mask + " backward")["peak_mb"] - server.about["start_mb"]
                with bench.server("attention", "--device", args.device, *shape(times * args.positions)) as ours:
                    row = Row("attention", what, "MB", {"wall": [peak(ours)]})
                for variant in variants:
                    try:
                        with bench.peer(variant.replace("+malloc", ""), "attention", *shape(times * args.positions)) as peer:
                            found = peak(peer)
                    except Failed as failure:
                        say(f"{variant} is left out of {what}: {failure}")
                        continue
                    if row.peer is None or found < row.peer["wall"][0]:
                        row.peer, row.peer_name = {"wall": [found]}, variant.replace("+malloc", "")
                bench.add(row)


# -- 4. composing
def composing(bench):
    args = bench.args
    variants = bench.some(COMPOSING_VARIANTS[args.device]) if bench.peers.has("torch") else []
    for context in (0, args.context):
        for pieces in args.pieces:
            size = ["--pieces", pieces, "--context", context]
            model = ["--device", args.device, *bench.model("sa_lstm_lstm", 1)]
            dump = bench.dump("composing", model, *size[2:], "--pieces", 1)
            servers = {"PopH": bench.server("composing", *size, *model)}
            for variant in variants:
                try:
                    servers[variant] = bench.peer(variant, "composing", dump, *size)
                except Failed as failure:
                    say(f"{variant} is left out: {failure}")
            once = servers["PopH"].ask(1)["wall"]
            steps = max(1, min(100, int(0.5 / once)))  # enough of them to be timed together
            found = take_turns(servers, steps, args.repeats, args.seconds)
            what = f"composing, {pieces} piece{'s' * (pieces > 1)}, " + (f"windowed, context {context}" if context else "carried state")
            floor = pieces * (bench.fma or GPU_PEAK["float32"]) / servers["PopH"].about["gflop"]
            bench.contest("composing", what, "steps/s", found, floor, lambda answer, clock: pieces / answer[clock])
            for server in servers.values():
                server.stop()


# -- 5. MIDI files
def midi(bench):
    args = bench.args
    folder = args.midi
    if not folder:
        folder = bench.folder / "midi"
        folder.mkdir()
        size = ["--transpositions", "2", "--bytes", "5000"] if args.quick else []
        subprocess.run([bench.ours, "make-midi", *size, ROOT / "data/corpus", folder], check=True)
    rate = lambda answer, clock: answer["bytes"] / 1e6 / answer[clock]
    with bench.server("midi", folder) as ours:
        size = ours.about["bytes"]
        bench.about["midi"] = f"{ours.about['files']} files, {size / 1e6:.2f} MB"
        floor = max(rate(answer, "wall") for answer in answers(ours, "read", max(5, args.repeats), args.seconds))
        readers = [(reader, part) for reader, part in MIDI_READERS if bench.peers.has(reader)]
        for reader, megabytes in readers:
            every = max(1, round(size / 1e6 / megabytes)) if megabytes else 1
            with Server([bench.peers.python, HERE / "peer_midi.py", reader, folder], args) as peer:
                name = peer.about["who"]
                turns = [(ours.ask("notes"), peer.ask(every)) for _ in range(1 + args.repeats)][1:]  # the first warms up
                found = {"PopH": [a for a, _ in turns], name: [b for _, b in turns]}
                notes = [given[0]["found"] for given in found.values()]
                if every == 1 and abs(notes[0] - notes[1]) > 0.01 * notes[0]:
                    raise Failed(f"PopH finds {notes[0]} notes, {name} {notes[1]}")
                bench.contest("midi", "MIDI files to notes", "MB/s", found, floor, rate)
        if not readers:
            bench.contest("midi", "MIDI files to notes", "MB/s", {"PopH": answers(ours, "notes", args.repeats, args.seconds)}, floor, rate)
        for request, what in (("windows", "MIDI files to training windows"), ("batches", "MIDI files to float32 batches of every window")):
            given = answers(ours, request, args.repeats, args.seconds)
            found = {clock: [rate(answer, clock) for answer in given] for clock in ("wall", "cpu")}
            bench.add(Row("midi", what, "MB/s", found, {"wall": [ORIGINAL_MIDI[0]]}, ORIGINAL_MIDI[1], floor))


# -- 6. the memory of a run
def memory(bench):
    args, batch = bench.args, min(16, max(bench.args.batch))
    file, *overrides = bench.model("sa_lstm_lstm", batch)[4:]
    command = [BUILD / "run_experiment", file, "--smoke", "--quiet", "--device", args.device, "--threads", args.threads, "--out",
               bench.folder, f"data.window={args.window}", f"train.batch={batch}", *overrides]
    process = subprocess.Popen([str(word) for word in command])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise Failed(f"run_experiment ended with status {os.waitstatus_to_exitcode(status)}")
    row = Row("memory", f"run_experiment sa_lstm_lstm, B={batch}: memory, resident at most", "MB", {"wall": [usage.ru_maxrss / 1024]})
    if args.device == "cpu" and bench.peers.has("torch"):  # on a GPU its memory is what counts: the step's rows have it
        dump = bench.dump("steps", bench.model("sa_lstm_lstm", batch))
        for variant in bench.some(["eager", "eager+malloc"]):
            with bench.peer(variant, "steps", dump) as peer:
                peak = max(peer.ask()["peak_mb"] for _ in range(2))
            if row.peer is None or peak < row.peer["wall"][0]:
                row.peer, row.peer_name = {"wall": [peak]}, variant + ", three training steps"
    bench.add(row)


SECTIONS = {"step": step, "layers": layers, "attention": attention, "composing": composing, "midi": midi, "memory": memory}
