"""Tests that mostly wait, all at the same time."""

import unittest
from concurrent.futures import ThreadPoolExecutor


class SideBySide(unittest.TestSuite):
    """Runs each of its tests in a thread of its own, and reports them in their order. Fixtures of classes and modules are not run."""

    def run(self, result, debug=False):
        tests = list(_flat(self))
        with ThreadPoolExecutor(len(tests)) as threads:
            for report in threads.map(_reported, tests):
                for name, arguments in report.calls:
                    getattr(result, name)(*arguments)
        return result


class _Report:
    """What a test tells its result, written down."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        if not name.startswith(("add", "start", "stop")):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, arguments))


def _reported(test):
    report = _Report()
    test.run(report)
    return report


def _flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test
