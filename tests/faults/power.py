"""What a disk may hold after the power fails: the calls of a run, replayed up to any of them on a model of a file system that keeps
only what was flushed, and of the rest whatever it likes."""
import os
import stat
from pathlib import Path

from sessions import Fault, require


class File:
    def __init__(self):
        self.data, self.flushed = b"", b""

    def flush(self):
        self.flushed = self.data

    def after_power_loss(self, random):
        """What was flushed, all, or anything between; and never less."""
        kind = random.choice(("flushed", "all", "some"))
        if kind == "flushed" or self.data == self.flushed:
            return self.flushed
        if kind == "all":
            return self.data
        if self.data.startswith(self.flushed):
            return self.data[:random.randint(len(self.flushed), len(self.data))]
        return self.data[:random.randint(0, len(self.data))]


class Folder:
    def __init__(self):
        self.names, self.flushed, self.pending = {}, {}, []

    def change(self, names):
        """{name: what it is from now on, None: nothing}, in one step."""
        self.pending.append(names)
        self.apply(self.names, names)

    @staticmethod
    def apply(to, names):
        for name, what in names.items():
            to.pop(name, None)
            if what is not None:
                to[name] = what

    def flush(self):
        self.flushed, self.pending = dict(self.names), []

    def after_power_loss(self, random):
        kept = dict(self.flushed)
        share = random.choice((0, 0.5, 1))
        for names in self.pending:
            if random.random() < share:
                self.apply(kept, names)
        return kept


class Disk:
    """Below `root`, as of a log of faults.cpp that begins with nothing there."""

    def __init__(self, root):
        self.root, self.top, self.open = str(root), Folder(), {}

    def find(self, path):
        """(folder, name) of a path below the root."""
        parts = [part for part in os.path.relpath(path, self.root).split("/") if part != "."]
        folder = self.top
        for part in parts[:-1]:
            folder = folder.names[part]
        return folder, parts[-1] if parts else None

    def node(self, path):
        folder, name = self.find(path)
        return folder if name is None else folder.names.get(name)

    def play(self, call):
        if call.result < 0 or (call.path == self.root and call.name == "mkdir"):
            return
        key = (call.process, call.file)
        if call.name == "mkdir":
            folder, name = self.find(call.path)
            folder.change({name: Folder()})
        elif call.name == "open":
            node = self.node(call.path)
            if node is None:
                require(call.argument & os.O_CREAT, "a file from nowhere:", call)
                folder, name = self.find(call.path)
                node = File()
                folder.change({name: node})
            elif call.argument & os.O_TRUNC:
                node.data = b""
            self.open[key] = node
        elif call.name == "close":
            self.open.pop(key, None)
        elif call.name == "write":
            file = self.open[key]
            file.data = file.data[:call.argument].ljust(call.argument, b"\0") + call.data + file.data[call.argument + len(call.data):]
        elif call.name == "truncate":
            self.open[key].data = self.open[key].data[:call.argument].ljust(call.argument, b"\0")
        elif call.name == "fsync":
            self.open[key].flush()
        elif call.name == "unlink":
            folder, name = self.find(call.path)
            folder.change({name: None})
        elif call.name in ("rename", "link"):
            from_folder, name = self.find(call.path)
            folder, other = self.find(call.other)
            require(folder is from_folder, "between folders:", call)
            folder.change({**({name: None} if call.name == "rename" else {}), other: from_folder.names[name]})
        elif call.name != "read":
            raise Fault("not known here: %s" % call)

    def write(self, to, random=None):
        """The files as they are now; with `random`, as they may be when the power fails now."""
        self.write_folder(self.top, Path(to), random)

    def write_folder(self, folder, to, random):
        to.mkdir(parents=True, exist_ok=True)
        for name, node in (folder.after_power_loss(random) if random else folder.names).items():
            if isinstance(node, Folder):
                self.write_folder(node, to / name, random)
            else:
                (to / name).write_bytes(node.after_power_loss(random) if random else node.data)


def check_order(calls):
    """Whatever gets its final name by a rename was flushed before it, and the folder is flushed before the next one in it loses or gets a
    name; of a checkpoint both files are flushed before either is renamed, and the pair before it has its second names by then."""
    flushed, unflushed_folders, renames = {}, {}, 0
    previous_kept = set()
    for call in calls:
        if call.result < 0:
            continue
        folder = os.path.dirname(call.path)
        if call.name in ("write", "truncate"):
            flushed[call.path] = False
        elif call.name == "fsync":
            flushed[call.path] = True
            unflushed_folders.pop(call.path, None)
        elif call.name == "link":
            previous_kept.add(call.other)
        elif call.name == "rename" and ".tmp-" in call.path:
            renames += 1
            require(flushed.get(call.path, False), "renamed before it was flushed:", call)
            require(folder not in unflushed_folders, "renamed before the folder was flushed after", unflushed_folders.get(folder))
            if call.other.endswith(".state.safetensors"):
                weights = call.other.replace(".state.safetensors", ".safetensors.tmp-")
                require(any(path.startswith(weights) and done for path, done in flushed.items()), "renamed before the weights were flushed:", call)
            unflushed_folders[folder] = call
            flushed.pop(call.path)
        elif call.name == "unlink":
            require(not call.path.endswith(".safetensors") or ".previous." in call.path, "a checkpoint was removed:", call)
    require(not unflushed_folders, "never flushed:", unflushed_folders)
    require(renames > 10 and previous_kept, "there is nothing to check:", renames, previous_kept)
    return renames
