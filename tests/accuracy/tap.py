"""What the accuracy tests share: running the program, reading labels, TAP."""
import csv
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIEN = os.environ.get('MIEN', os.path.join(ROOT, 'build', 'mien'))
DATA = os.environ.get('MIEN_TEST_DATA') or '/nonexistent'


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def check(self, name, good, detail=''):
        self.number += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.number} - {name}' + ('' if good or detail == '' else f' ({detail})'), flush=True)

    def skip(self, name, reason):
        self.number += 1
        print(f'ok {self.number} - {name} # SKIP {reason}', flush=True)

    def say(self, text):
        print(f'# {text}', flush=True)

    def end(self):
        print(f'1..{self.number}')
        return 1 if self.failed else 0


def mien(*arguments, statuses=(0,)):
    done = subprocess.run([MIEN, *arguments, '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    if done.returncode not in statuses:
        sys.exit(f'mien {" ".join(arguments[:3])} ...: status {done.returncode}: {done.stderr.decode().strip()[:500]}')
    return json.loads(done.stdout)


def rows(folder, name):
    with open(os.path.join(folder, name)) as f:
        return list(csv.DictReader(f))


def skip_all_unless(*folders, standard_pack=False):
    """Ends the program with one skipped test when labelled data or the models that the bounds are for are not there."""
    absent = [f for f in folders if not os.path.isdir(os.path.join(DATA, f))]
    reason = f'$MIEN_TEST_DATA/{absent[0]} is not there' if absent else None
    if not reason and standard_pack:
        pack = {m['pack'] for m in mien('models', 'list')}
        if pack != {'standard'}:
            reason = f'the bounds are for the standard pack, installed is {", ".join(pack)}'
    if reason:
        print(f'ok 1 - accuracy # SKIP {reason}\n1..1')
        sys.exit(0)
