"""No function above a cyclomatic complexity of 25 (McCabe 1976; a switch counts once: `pmccabe`, first column)."""
import shutil
import subprocess

from tree import ROOT, Skip, sources

LIMIT = 25


def check():
    if not shutil.which('pmccabe'):
        raise Skip('the Debian package pmccabe is not installed')
    listed = subprocess.run(['pmccabe', *sources('.c', '.h')], cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    bad = []
    for line in listed.stdout.decode().splitlines():
        parts = line.split('\t')
        if len(parts) >= 6 and int(parts[0]) > LIMIT:
            bad.append(f'{parts[5]}: complexity {parts[0]}, limit {LIMIT}')
    return bad
