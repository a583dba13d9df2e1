#!/usr/bin/env python3
"""kernel_resources.py FOLDER ARCH..: what the assembler reported of the kernels in FOLDER/*.cu.ptxas, for each architecture (80, 90a).

Prints a table of the kernels that are more than a functor per element: registers and static shared memory, the most that any of a
kernel's forms takes. Exit status 1 where a kernel spills registers, where one of the table has a stack in memory, or where an
architecture has none.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

KERNEL = re.compile(
    r"Compiling entry function '(\S+)' for 'sm_(\w+)'\n"
    r"(?:.*\n)*?\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*?Used (\d+) registers(?:.*?(\d+) bytes smem)?")

folder, architectures = Path(sys.argv[1]), sys.argv[2:]
reports = [match for path in sorted(folder.glob("*.cu.ptxas")) for match in KERNEL.findall(path.read_text())]
names = subprocess.run(["c++filt"], input="\n".join(report[0] for report in reports), capture_output=True, text=True, check=True).stdout
table = defaultdict(list)  # (kernel, architecture): its forms
faults = []
for (_, architecture, *numbers), name in zip(reports, names.splitlines()):
    name = name.replace("poph::", "").replace("(anonymous namespace)::", "").removeprefix("void ")
    stack, stores, loads, registers, shared = (int(number or 0) for number in numbers)
    family = re.match(r"\w+", name)[0]
    if stores or loads:
        faults.append("%s for sm_%s spills: %d bytes stored, %d loaded" % (name, architecture, stores, loads))
    if family.endswith("_kernel") and family != "for_each_kernel":
        table[family, architecture].append((registers, shared))
        if stack:
            faults.append("%s for sm_%s keeps %d bytes in memory" % (name, architecture, stack))
for architecture in architectures:
    if architecture not in {key[1] for key in table}:
        faults.append("%s: no kernel for sm_%s" % (folder, architecture))

print("%-24s %-7s %5s %10s %14s" % ("kernel", "", "forms", "registers", "shared bytes"))
for (family, architecture), forms in sorted(table.items()):
    print("%-24s sm_%-4s %5d %10d %14d" % (family, architecture, len(forms), *map(max, zip(*forms))))
for fault in faults:
    print(fault)
sys.exit(bool(faults))
