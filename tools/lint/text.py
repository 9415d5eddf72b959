"""Blanks, line ends, characters and line lengths."""
import os
import unicodedata

from tree import data, files, is_text

C_LINE = 160
CODE = ('.c', '.h', '.py', '.sh', '.js', '.mjs', '.ts', '.css', '.html')
TABS = ('Makefile', '.mk')


def odd(character, is_code):
    """Invisible, private or look-alike characters nowhere; anything but ASCII only in prose and data."""
    if character in '\n\t' or ' ' <= character <= '~':
        return False
    return is_code or unicodedata.category(character) in ('Cc', 'Cf', 'Co', 'Cn', 'Cs', 'Zs', 'Zl', 'Zp')


def check_file(path):
    raw = data(path)
    if raw and not raw.endswith(b'\n'):
        yield f'{path}: no newline at the end'
    if raw.endswith(b'\n\n'):
        yield f'{path}: blank lines at the end'
    try:
        lines = raw.decode('utf-8').split('\n')
    except UnicodeDecodeError as e:
        yield f'{path}: not UTF-8 (byte {e.start})'
        return
    name = os.path.basename(path)
    is_code = name.endswith(CODE) or '.' not in name
    for number, line in enumerate(lines, 1):
        where = f'{path}:{number}'
        if '\t' in line and not name.endswith(TABS):
            yield f'{where}: tab'
        if line != line.rstrip():
            yield f'{where}: blank at the end of the line'
        if name.endswith(('.c', '.h')) and len(line) > C_LINE:
            yield f'{where}: {len(line)} characters, more than {C_LINE}'
        for c in line:
            if odd(c, is_code):
                yield f'{where}: character U+{ord(c):04X}'
                break


def check():
    skip = ('package-lock.json',)
    return [p for path in files() if not path.endswith(skip) and not path.startswith('fuzz/corpus/') and is_text(path) for p in check_file(path)]
