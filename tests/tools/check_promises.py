#!/usr/bin/env python3
"""check_promises.py BUILD: every test that PROMISES.md names is there: a Boost.Test case, a test of meson, or a class of test_cli.py."""
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
build = Path(sys.argv[1])
listed = subprocess.run([build / "unit_tests", "--list_content"], capture_output=True, text=True, check=True).stderr
cases, suite = set(), ""
for name, indented in ((line.strip().rstrip("*"), line.startswith(" ")) for line in listed.splitlines()):
    suite = suite if indented else name
    cases |= {"%s/%s" % (suite, name)} if indented else set()
known = cases | set(re.findall(r"^ *test\('([^']+)'", (SOURCE / "meson.build").read_text(), re.M))  # those that this build leaves out, too
for path in (SOURCE / "tests/cli").glob("*.py"):
    known |= {"%s.%s" % (path.stem, name) for name in re.findall(r"^class (\w+)", path.read_text(), re.M)} | {path.stem}
wanted = []
for row in re.findall(r"^\|.*\|([^|]*)\|$", (SOURCE / "PROMISES.md").read_text(), re.M):
    wanted += [name for name in re.findall(r"`([^`]+)`", row) if not (SOURCE / name).exists()]
faults = {"faults " + name for name in re.findall(r"^    def (\w+)\(self\)", (SOURCE / "tests/faults/faults.py").read_text(), re.M)}
missing = [name for name in wanted if not fnmatch.filter(known | faults, name)]
for name in missing:
    print("PROMISES.md: there is no test", name)
print("%d passed, %d failed, 0 skipped" % (len(wanted) - len(missing), len(missing)))
sys.exit(bool(missing) or not wanted)
