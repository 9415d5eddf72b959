"""Functions that have no safe use, or a better one at hand, in src/ and include/."""
import re

from tree import code, sources

BANNED = {
    'strcpy strcat stpcpy strncpy strncat': 'snprintf or memcpy with a known length',
    'sprintf vsprintf': 'snprintf',
    'gets scanf sscanf fscanf': 'a parser that reports errors',
    'atoi atol atoll atof': 'strtol and friends with a check of the end',
    'strtok asctime ctime gmtime localtime rand srand setenv putenv': 'the reentrant form (not thread-safe)',
    'alloca': 'the arena (unbounded stack)',
    'system popen': 'no shell',
    'mktemp tmpnam tempnam': 'mkstemp',
}
WHY = {name: why for names, why in BANNED.items() for name in names.split()}
CALL = re.compile(r'(?<![\w.>])(' + '|'.join(WHY) + r')\s*\(')


def check():
    bad = []
    for path in sources('.c', '.h') + sources('.h', under='include/'):
        for m in CALL.finditer(code(path)):
            line = code(path).count('\n', 0, m.start()) + 1
            bad.append(f'{path}:{line}: {m.group(1)}: use {WHY[m.group(1)]}')
    return bad
