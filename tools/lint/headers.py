"""Every header compiles alone, with both compilers and the project's warnings. Templates (*_body.h) are part of their includer."""
import concurrent.futures
import os
import re
import shutil
import subprocess

from tree import ROOT, Skip, data, sources

COMPILERS = ('gcc', 'clang-14')


def compile_alone(job):
    compiler, path, flags = job
    command = [compiler, '-std=c17', '-D_GNU_SOURCE', '-Isrc', '-Iinclude', *flags, '-fsyntax-only', '-include', path, '-x', 'c', os.devnull]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return None
    first = next((l for l in done.stdout.decode().splitlines() if 'error' in l), 'failed')
    return f'{path} ({compiler}): {first}'


def guard(path):
    """The include guard is the path: MIEN_ROOM_FILE_H."""
    name = path.split('src/')[-1] if path.startswith('src/') else os.path.basename(path)
    want = re.sub(r'\W', '_', ('' if name.startswith('mien') else 'mien_') + name).upper()
    return None if f'#ifndef {want}\n#define {want}\n'.encode() in data(path) else f'{path}: include guard is not {want}'


def check():
    flags = re.search(r'^WARN := (.*)$', data('Makefile').decode(), re.M).group(1).split()
    found = [c for c in COMPILERS if shutil.which(c)]
    if not found:
        raise Skip('no compiler')
    paths = [p for p in sources('.h') + sources('.h', under='include/') if not p.endswith('_body.h')]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(pool.map(compile_alone, [(c, p, flags) for c in found for p in paths]))
    return [p for p in problems + [guard(p) for p in paths] if p]
