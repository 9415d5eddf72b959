"""The files that the checks look at, and reading them."""
import functools
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEFT_OUT = {'.git', 'build', 'node_modules', '__pycache__'}


class Skip(Exception):
    """A check cannot run here; the message says why."""


def _walk():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in LEFT_OUT]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if not path.startswith(os.path.join('models', 'local')):
                yield path


@functools.lru_cache(None)
def files():
    """Committed files and new ones that git would take; without git, the tree as it lies there."""
    try:
        command = ['git', '-C', ROOT, 'ls-files', '-co', '--exclude-standard', '-z']
        listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().split('\0')
    except (OSError, subprocess.CalledProcessError):
        listed = _walk()
    return tuple(sorted(p for p in listed if p and os.path.isfile(os.path.join(ROOT, p))))


def sources(*suffixes, under='src/'):
    return [p for p in files() if p.startswith(under) and p.endswith(suffixes)]


@functools.lru_cache(None)
def data(path):
    with open(os.path.join(ROOT, path), 'rb') as f:
        return f.read()


def text(path):
    return data(path).decode('utf-8', errors='replace')


def is_text(path):
    return b'\0' not in data(path)[:8192]


@functools.lru_cache(None)
def code(path):
    """C text with comments and the insides of strings blanked; line numbers stay."""
    out, s, i = [], text(path), 0
    while i < len(s):
        if s.startswith('/*', i) or s.startswith('//', i):
            end = s.find('*/', i + 2) + 2 if s[i + 1] == '*' else s.find('\n', i)
            end = len(s) if end in (-1, 1) else end
            out.append('\n' * s.count('\n', i, end))
            i = end
        elif s[i] in '"\'':
            quote, start = s[i], i
            i += 1
            while i < len(s) and s[i] != quote and s[i] != '\n':
                i += 2 if s[i] == '\\' else 1
            line = s[s.rfind('\n', 0, start) + 1:start]
            out.append(s[start:i + 1] if line.lstrip().startswith('#') else quote + quote)  # keep #include "..."
            i += 1
        else:
            out.append(s[i])
            i += 1
    return ''.join(out)
