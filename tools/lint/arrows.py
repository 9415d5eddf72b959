"""Includes follow the rooms' arrows (Makefile, NEEDS_*), and each third-party header stays in its room."""
import re

from tree import code, data, files, sources

THIRD_PARTY = {
    'image': ('jpeglib.h', 'jerror.h', 'turbojpeg.h', 'png.h', 'zlib.h', 'webp/decode.h', 'webp/encode.h', 'webp/demux.h', 'gif_lib.h'),
    'codec': ('jansson.h',),
    'crypto': ('openssl/evp.h', 'openssl/core_names.h', 'openssl/crypto.h', 'openssl/kdf.h', 'openssl/params.h', 'openssl/rand.h',
               'openssl/bio.h', 'openssl/bn.h', 'openssl/pem.h'),
    'store': ('sqlite3.h', 'hiredis/hiredis.h'),
    'net': ('microhttpd.h', 'curl/curl.h', 'wslay/wslay.h'),
    'engine': ('dnnl.h', 'oneapi/dnnl/dnnl.h'),
}
SYSTEM = set('''assert.h ctype.h errno.h fcntl.h float.h getopt.h inttypes.h limits.h locale.h math.h pthread.h sched.h setjmp.h signal.h spawn.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h time.h unistd.h dirent.h
sys/mman.h sys/stat.h sys/types.h sys/resource.h sys/wait.h sys/time.h sys/random.h sys/ioctl.h sys/socket.h netinet/in.h netinet/tcp.h arpa/inet.h netdb.h poll.h sys/un.h sys/epoll.h sys/eventfd.h sys/signalfd.h sys/prctl.h sys/file.h
cpuid.h immintrin.h'''.split())
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def needs():
    table = {}
    for room, rest in re.findall(r'^NEEDS_(\w+)[ \t]*:=[ \t]*(.*)$', data('Makefile').decode(), re.M):
        table[room] = set(rest.split()) | {room}
    return table


def includes(path):
    for m in INCLUDE.finditer(code(path)):
        yield code(path).count('\n', 0, m.start()) + 1, m.group(1), m.group(2)


def reach(header, seen):
    """Every project header that `header` brings in, itself included."""
    if header not in seen and header in files():
        seen.add(header)
        for _, kind, name in includes(header):
            if kind == '"':
                reach('src/' + name, seen)
    return seen


def own_include(path, room, name, rooms):
    if name == 'mien.h':
        return None if room == 'app' else 'mien.h is the public API: only app includes it'
    other = name.split('/')[0]
    if 'src/' + name not in files():
        return f'"{name}" is not a file below src/ (write ROOM/file.h)'
    if other not in rooms[room]:
        return f'{room} may not include {other} ("{name}")'
    return None


def system_include(room, name):
    home = [r for r, headers in THIRD_PARTY.items() if name in headers]
    if home:
        return None if room in home else f'<{name}> belongs to the room {home[0]}'
    return None if name in SYSTEM else f'<{name}> is in neither list of tools/lint/arrows.py'


def check():
    rooms, bad = needs(), []
    foreign = {h for headers in THIRD_PARTY.values() for h in headers}
    for path in sources('.c', '.h'):
        room = path.split('/')[1]
        if room not in rooms:
            bad.append(f'{path}: no NEEDS_{room} in the Makefile')
            continue
        for line, kind, name in includes(path):
            problem = own_include(path, room, name, rooms) if kind == '"' else system_include(room, name)
            if problem:
                bad.append(f'{path}:{line}: {problem}')
            if kind == '"' and name.split('/')[0] != room:
                for header in sorted(reach('src/' + name, set())):
                    leaks = [n for _, k, n in includes(header) if k == '<' and n in foreign]
                    if leaks:
                        bad.append(f'{path}:{line}: "{name}" brings in <{leaks[0]}> from another room')
    return bad
