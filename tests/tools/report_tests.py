#!/usr/bin/env python3
"""report_tests.py BUILD..: the closing line `N passed, N failed, N skipped` over the last test runs of build folders.

A test program that ends with such a line of its own (C++ cases, scripts) counts with its numbers, any other as one.
Exit status 1 where something failed or nothing passed.
"""
import json
import re
import sys
from pathlib import Path

LINE = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


def counts(test):
    """(passed, failed, skipped) of one entry of meson's test log."""
    lines = test.get("stdout", "").strip().splitlines()
    own = LINE.fullmatch(lines[-1].strip()) if lines else None
    passed, failed, skipped = map(int, own.groups()) if own else (0, 0, 0)
    if test["result"] == "SKIP":
        return passed, failed, max(skipped, 1)
    if test["result"] != "OK":  # a crash or a time limit leaves no line
        return passed, max(failed, 1), skipped
    return (passed, failed, skipped) if own else (1, 0, 0)


total = [0, 0, 0]
for build in sys.argv[1:]:
    log = Path(build) / "meson-logs" / "testlog.json"
    if not log.exists():
        print("%s: no test ran" % build)
        total[1] += 1
        continue
    for line in log.read_text().splitlines():
        total = [sum(pair) for pair in zip(total, counts(json.loads(line)))]
print("{} passed, {} failed, {} skipped".format(*total))
sys.exit(total[1] > 0 or total[0] == 0)
