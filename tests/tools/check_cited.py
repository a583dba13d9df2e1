#!/usr/bin/env python3
"""check_cited.py: every section of MODEL.md that a file cites, as in MODEL.md "Piano roll", is a heading there.

A citation may name several sections: MODEL.md "Blocks" and "Losses". A comment that names the page without a section is a break, too; pages
may link to it.
"""
import re
import subprocess
import sys
from pathlib import Path

source = Path(__file__).resolve().parent.parent.parent
sections = set(re.findall(r"^## (.+)$", (source / "MODEL.md").read_text(), re.M))
files = subprocess.run(["git", "-C", source, "grep", "-lE", r"MODEL\.md", "--", ":!MODEL.md", ":!tests/tools/check_cited.py", ":!tests/recipes"],
                       capture_output=True, text=True, check=True).stdout.split()
cited, faults = 0, []
for path in files:
    # A citation may run over the end of a comment's line.
    text = re.sub(r"\n\s*(//|#|\*)?\s*", " ", (source / path).read_text())
    for found in re.finditer(r'MODEL\.md((?:(?:,| and| or)? "[^"]*")*)', text):
        names = re.findall(r'"([^"]*)"', found[1])
        cited += len(names)
        faults += ['%s: cites MODEL.md "%s", which has no such section' % (path, name) for name in names if name not in sections]
        if not names and not path.endswith(".md"):
            faults.append("%s: names MODEL.md without a section" % path)
for fault in faults:
    print(fault)
print("%d passed, %d failed, 0 skipped" % (cited - len(faults), len(faults)))
sys.exit(bool(faults) or not cited)
