"""File names are unique across src/, and so are the libraries' symbols: each begins with mien_."""
import os
import subprocess

import arrows
from tree import ROOT, Skip, sources


def unique_files():
    seen, bad = {}, []
    for path in sources('.c', '.h'):
        name = os.path.basename(path)
        if name in seen:
            bad.append(f'{path}: same name as {seen[name]}')
        seen.setdefault(name, path)
    return bad


def symbol_prefix():
    build = os.path.join(ROOT, os.environ.get('BUILD', 'build'))
    archives = [os.path.join(build, 'lib', f'lib{room}.a') for room in arrows.needs()]
    archives = [a for a in archives if os.path.exists(a)]
    if not archives:
        raise Skip('nothing is built yet')
    bad = []
    for archive in archives:
        listed = subprocess.run(['nm', '-g', '--defined-only', archive], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in listed.stdout.decode().splitlines():
            parts = line.split()
            if len(parts) == 3 and not parts[2].startswith('mien_') and parts[2] != 'main':
                bad.append(f'{os.path.basename(archive)}: {parts[2]}')
    return bad
