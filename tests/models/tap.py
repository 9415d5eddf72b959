"""unittest with TAP output, which tests/run.py adds up."""

import sys
import unittest


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0

    def line(self, word, test, comment=""):
        self.count += 1
        print(f"{word} {self.count} - {test.id().removeprefix('__main__.')}{comment}", flush=True)

    def addSuccess(self, test):
        self.line("ok", test)

    def addSkip(self, test, reason):
        self.line("ok", test, f" # SKIP {reason}")

    def failed(self, test, problem):
        self.line("not ok", test)
        for text in self._exc_info_to_string(problem, test).splitlines():
            print(f"# {text}", flush=True)

    def addFailure(self, test, problem):
        super().addFailure(test, problem)
        self.failed(test, problem)

    def addError(self, test, problem):
        super().addError(test, problem)
        self.failed(test, problem)

    def addSubTest(self, test, subtest, problem):
        if problem is not None:
            super().addSubTest(test, subtest, problem)
            self.failed(subtest, problem)


def main(only=()):
    """Runs every TestCase of the calling script; `only`: parts of names to keep."""
    loaded = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    tests = [t for suite in loaded for t in suite if not only or any(part in t.id() for part in only)]
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    print(f"1..{result.count}")
    return 0 if result.wasSuccessful() else 1
