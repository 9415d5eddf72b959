#!/usr/bin/env python3
"""Runs every suite and adds up what they report.

A suite is a command that prints TAP lines (`ok 1 - name`, `not ok ...`, `ok 2 - name # SKIP reason`). A command that ends with a status
other than 0 without a `not ok` line, or prints no result at all, counts as one failure. Output is shown for suites with failures.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = str(os.cpu_count() or 2)
RESULT = re.compile(r'^(not ok|ok)\b(.*)$', re.M)
SKIP = re.compile(r'#\s*skip', re.I)


class Suite:
    """One command with its limits. `alone`: nothing else runs beside it (it is heavy or uses all cores). `silent`: prints no TAP, its exit
    status is the result."""

    def __init__(self, name, command, timeout=300, env=None, alone=False, silent=False):
        self.name, self.command, self.timeout = name, command, timeout
        self.env, self.alone, self.silent = env or {}, alone, silent


def make(name, *arguments, timeout=1200):
    """A build step as a suite: passes when make does."""
    return Suite(name, ['make', '-s', f'-j{JOBS}', *arguments], timeout, alone=True, silent=True)


def unit_tests(prefix, build, only=None, env=None, timeout=300):
    """The unit test programs of a build folder, as suites. `only`: file names (without test_) to keep."""
    found = []
    for source in sorted(glob.glob(os.path.join(ROOT, 'tests', '*', 'test_*.c'))):
        room, name = os.path.basename(os.path.dirname(source)), os.path.basename(source)[:-2]
        if only is None or f'{room}/{name[5:]}' in only:
            path = os.path.join(ROOT, build, 'tests', room, name)
            found.append(Suite(f'{prefix}/{room}/{name[5:]}', [path], timeout, env))
    return found


def served(prefix, build, name, env):
    """A black-box suite of the server, run against a program built with a sanitizer."""
    script = os.path.join('tests', 'http', 'run_' + name)
    return Suite(f'{prefix}/http/{name}', [script], 1200, {**env, 'MIEN': os.path.join(ROOT, build, 'mien')}, alone=True)


def suites():
    asan = {'ASAN_OPTIONS': 'detect_leaks=1:allocator_may_return_null=1', 'UBSAN_OPTIONS': 'print_stacktrace=1'}
    clang = ['CC=clang-14', 'BUILD=build/clang']
    sanitised = ['SAN=address,undefined', 'OPT=-O1 -g', 'BUILD=build/asan']
    racing = ['SAN=thread', 'OPT=-O1 -g', 'BUILD=build/tsan']
    yield make('build/gcc', 'all', 'tests')
    yield Suite('lint', ['tools/lint/run'])
    yield make('build/clang', *clang, 'all', 'tests')
    yield make('build/asan', *sanitised, 'build/asan/mien', 'tests', 'fuzz-replay')
    yield make('build/tsan', *racing, 'build/tsan/mien', *(f'build/tsan/tests/{os.path.dirname(t)}/test_{os.path.basename(t)}' for t in THREADED))
    yield from unit_tests('unit', 'build')
    yield from unit_tests('asan', 'build/asan', env=asan, timeout=900)
    yield from unit_tests('tsan', 'build/tsan', THREADED, {'OMP_NUM_THREADS': '1'}, 900)
    yield from unit_tests('avx2', 'build', AVX2, {'ONEDNN_MAX_CPU_ISA': 'AVX2', 'MIEN_CPU_MASK': '1'}, 600)
    for target in sorted(glob.glob(os.path.join(ROOT, 'fuzz', 'fuzz_*.c'))):
        name = os.path.basename(target)[:-2]
        corpus = os.path.join('fuzz', 'corpus', name[5:])
        yield Suite(f'fuzz/{name[5:]}', ['build/asan/replay/' + name, corpus], env=asan)
    for script in sorted(glob.glob(os.path.join(ROOT, 'tests', '*', 'run_*'))):
        if os.access(script, os.X_OK):
            room = os.path.basename(os.path.dirname(script))
            yield Suite(f'{room}/{os.path.basename(script)[4:]}', [script], 1200, alone=room in ('accuracy', 'oracle', 'http', 'web'))
    yield Suite('asan/cli/gallery', ['tests/cli/run_gallery'], 1200, {**asan, 'MIEN_SLOWDOWN': '4', 'MIEN': os.path.join(ROOT, 'build/asan/mien')}, alone=True)
    for name in SERVED:
        yield served('asan', 'build/asan', name, {**asan, 'MIEN_SLOWDOWN': '4', 'MIEN_MUTATIONS': '3000', 'MIEN_REQUESTS': '600'})
    for name in ('flow', 'redis'):
        yield served('tsan', 'build/tsan', name, {'OMP_NUM_THREADS': '1', 'TSAN_OPTIONS': 'halt_on_error=0', 'MIEN_SLOWDOWN': '10', 'MIEN_CLIENTS': '6'})


# Unit tests that start threads (run again under ThreadSanitizer), suites of the server (again under AddressSanitizer), and unit tests that depend on the
# processor's instruction set.
THREADED = ['api/api', 'base/pool', 'base/thread', 'crypto/jwt', 'crypto/seal', 'engine/net', 'gallery/gallery', 'gallery/index', 'net/fetch', 'net/server',
            'net/websocket', 'service/bank', 'service/keep', 'service/live', 'service/shared', 'service/tracks', 'store/ledger', 'store/redis', 'store/sqlite']
SERVED = ['contract', 'hostile', 'memory', 'flow', 'clients', 'redis', 'gallery', 'fusion', 'sessions']
AVX2 = ['engine/goldens', 'engine/net', 'engine/plan_ops', 'gallery/index', 'gallery/scan', 'gallery/template']


def run(suite):
    start = time.monotonic()
    env = {**os.environ, 'CMOCKA_MESSAGE_OUTPUT': 'TAP', **suite.env}
    try:
        done = subprocess.run(suite.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=suite.timeout)
        status, text = done.returncode, done.stdout.decode(errors='replace')
    except subprocess.TimeoutExpired as late:
        status, text = 'timeout', (late.stdout or b'').decode(errors='replace')
    except OSError as error:
        status, text = str(error), ''
    passed = failed = skipped = 0
    for verdict, rest in RESULT.findall(text):
        if SKIP.search(rest):  # cmocka writes a skipped test as `not ok ... # SKIP`
            skipped += 1
        elif verdict == 'ok':
            passed += 1
        else:
            failed += 1
    if status != 0 and not failed:
        failed = 1
        text += f'\n(ended with {status})'
    elif passed + failed + skipped == 0:
        passed, failed = (1, 0) if suite.silent else (0, 1)
        text += '' if suite.silent else '\n(no test result in the output)'
    return suite, passed, failed, skipped, text, time.monotonic() - start


def report(result, total):
    suite, passed, failed, skipped, text, seconds = result
    for i, n in enumerate((passed, failed, skipped)):
        total[i] += n
    mark = 'FAIL' if failed else 'ok'
    print(f'{mark:4} {suite.name:34} {passed:4} passed {failed:3} failed {skipped:3} skipped  {seconds:6.1f} s', flush=True)
    if failed:
        lines = text.rstrip().splitlines()
        print('     | ' + '\n     | '.join(lines[-60:]), flush=True)
    elif skipped:
        for line in text.splitlines():
            if SKIP.search(line):
                print('     | ' + line.strip(), flush=True)


def main():
    chosen = [s for s in suites() if len(sys.argv) < 2 or s.name.startswith(tuple(sys.argv[1:]))]
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(max_workers=int(JOBS)) as pool:
        pending = []

        def drain():
            for future in pending:
                report(future.result(), total)
            pending.clear()

        for suite in chosen:
            if suite.alone:
                drain()
                report(run(suite), total)
            else:
                pending.append(pool.submit(run, suite))
        drain()
    print(f'{total[0]} passed, {total[1]} failed, {total[2]} skipped')
    return 1 if total[1] or not total[0] else 0


if __name__ == '__main__':
    sys.exit(main())
