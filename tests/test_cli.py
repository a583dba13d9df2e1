#!/usr/bin/env python3
"""test_cli.py BUILD_DIR [NAME..]: run_experiment and poph as a stranger meets them: commands in, files, messages and exit codes out.

The cases are in tests/cli/; a NAME (runs, bad_input.Experiments, music.Golden.test_losses) picks some. Standard library only.
"""
import os
import signal
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "cli"))
MODULES = sorted(name[:-3] for name in os.listdir(os.path.join(HERE, "cli")) if name.endswith(".py") and name not in ("support.py", "browser.py"))

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: test_cli.py BUILD_DIR [NAME..]")
    os.environ["POPH_TEST_BUILD"] = os.path.abspath(sys.argv[1])
    for name in ("POPH_RUNS", "POPH_CORPUS", "POPH_CACHE", "OMP_NUM_THREADS"):
        os.environ.pop(name, None)
    for ignored in (signal.SIGINT, signal.SIGQUIT):  # by a shell for what it starts with &, and so by all that we would start
        signal.signal(ignored, signal.SIG_DFL)
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:] or MODULES)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    sys.stdout.flush()
    print("{} passed, {} failed, {} skipped".format(max(0, result.testsRun - bad - len(result.skipped)), bad, len(result.skipped)))
    sys.exit(1 if bad or result.testsRun == 0 else 0)
