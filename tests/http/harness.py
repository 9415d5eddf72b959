"""What the black-box suites share: a running `mien serve`, HTTP over sockets, photos, a validator of JSON Schema, TAP.

$MIEN is the program (default build/mien), $MIEN_SLOWDOWN multiplies deadlines (sanitizers), $BUILD is not used. The suites know the contract and
the documents, never the code."""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIEN = os.path.abspath(os.environ.get('MIEN', os.path.join(ROOT, 'build', 'mien')))
MODELS = os.path.abspath(os.environ.get('MIEN_MODELS', os.path.join(ROOT, 'models', 'local')))
DATA = os.environ.get('MIEN_TEST_DATA') or '/nonexistent'
SAMPLES = os.path.join(ROOT, 'tools/models/node_modules/@vladmandic/face-api/demo')
SLOWDOWN = float(os.environ.get('MIEN_SLOWDOWN', '1'))
SANITIZER = re.compile(r'(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:).*')


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def check(self, name, good, detail=''):
        self.number += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.number} - {name}' + ('' if good or detail == '' else f' ({str(detail)[:600]})'), flush=True)
        return good

    def equal(self, name, got, wanted):
        return self.check(name, got == wanted, f'{got!r}, wanted {wanted!r}')

    def skip(self, name, reason):
        self.number += 1
        print(f'ok {self.number} - {name} # SKIP {reason}', flush=True)

    def say(self, text):
        print(f'# {text}', flush=True)

    def end(self):
        print(f'1..{self.number}')
        return 1 if self.failed else 0


def skip_all(reason):
    print(f'ok 1 - server # SKIP {reason}\n1..1')
    sys.exit(0)


def need_program_and_models():
    if not os.path.exists(MIEN):
        sys.exit(f'{MIEN} is not built')
    if not os.path.exists(os.path.join(MODELS, 'manifest.json')):
        skip_all('no models are installed (./setup)')


def has_role(role):
    with open(os.path.join(MODELS, 'manifest.json')) as f:
        return bool(json.load(f)['roles'].get(role))


# ---- the server ----

class Server:
    """A running server with a data directory of its own. `env` is what the test configures; nothing else of the caller's configuration gets in."""

    restore_signals = True  # whether signals that Python ignores have their default again

    def __init__(self, env=None, arguments=(), start=True):
        self.folder = tempfile.mkdtemp(prefix='mien-http-')
        self.env, self.arguments = dict(env or {}), list(arguments)
        self.process = None
        self.text = ''
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self):
        kept = ('PATH', 'HOME', 'LANG', 'TMPDIR', 'LD_LIBRARY_PATH', 'OMP_NUM_THREADS', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS')
        env = {name: os.environ[name] for name in kept if name in os.environ}
        env.update(MIEN_MODELS=MODELS, HOST='127.0.0.1', DATA_DIR=self.folder)
        env.update(self.env)
        return {name: value for name, value in env.items() if value is not None}

    def spawn(self):
        """Starts the process without waiting for it to listen."""
        self.port = int(self.env.get('PORT', free_port()))
        env = {**self.environment(), 'PORT': str(self.port)}
        self.process = subprocess.Popen([MIEN, 'serve', *self.arguments], env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, restore_signals=self.restore_signals)
        self.reader = threading.Thread(target=self.collect, daemon=True)
        self.reader.start()

    def collect(self):
        for line in self.process.stderr:
            self.text += line.decode(errors='replace')

    def start(self):
        self.spawn()
        deadline = time.monotonic() + 60 * SLOWDOWN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.reader.join(5)
                sys.exit(f'mien serve ended with {self.process.returncode}: {self.text[-1500:]}')
            try:
                if get(self, '/readyz', timeout=5).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit(f'mien serve does not become ready: {self.text[-1500:]}')

    def stop(self, signal_number=signal.SIGTERM, timeout=15):
        """Exit status, and how long it took."""
        start = time.monotonic()
        self.process.send_signal(signal_number)
        return self.wait(timeout), time.monotonic() - start

    def wait(self, timeout=15):
        try:
            status = self.process.wait(timeout * SLOWDOWN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = 'killed after the deadline'
        self.reader.join(5)
        return status

    def stop_cleanly(self, tap, name='the server'):
        status, _ = self.stop()
        tap.check(f'{name} ends with status 0 on SIGTERM', status == 0, f'{status}: {self.text[-1500:]}')
        found = SANITIZER.search(self.text)
        tap.check(f'{name}: nothing from a sanitizer', found is None, found and self.text[found.start():found.start() + 2000])

    def resident_kib(self):
        with open(f'/proc/{self.process.pid}/status') as f:
            return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


# ---- requests ----

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return self.headers.get(name)

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {'not json': self.body[:200].decode(errors='replace')}

    @property
    def code(self):
        value = self.json()
        return value.get('code') if isinstance(value, dict) else None

    def __repr__(self):
        return f'{self.status} {self.body[:300]!r}'


def request(server, method, path, body=None, headers=None, timeout=60, host='127.0.0.1'):
    connection = http.client.HTTPConnection(host, server.port, timeout=timeout * SLOWDOWN)
    try:
        return request_on(connection, method, path, body, headers)
    finally:
        connection.close()


def request_on(connection, method, path, body=None, headers=None):
    try:
        connection.request(method, path, body, headers or {})
    except (BrokenPipeError, ConnectionResetError):
        pass  # answered before all of the body was sent
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def get(server, path, headers=None, **more):
    return request(server, 'GET', path, None, headers, **more)


def post(server, path, members, headers=None, **more):
    return request(server, 'POST', path, json.dumps(members).encode(), {'Content-Type': 'application/json', **(headers or {})}, **more)


def post_raw(server, path, data, media='application/octet-stream', **more):
    return request(server, 'POST', path, data, {'Content-Type': media} if media else {}, **more)


def multipart(parts):
    """(body, media type) of [(name, value, file name or None, media type or None)]."""
    boundary = 'mien-test-6f1c0a'
    out = b''
    for name, value, filename, media in parts:
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        out += f'; filename="{filename}"'.encode() if filename else b''
        out += f'\r\nContent-Type: {media}'.encode() if media else b''
        out += b'\r\n\r\n' + (value if isinstance(value, bytes) else str(value).encode()) + b'\r\n'
    return out + f'--{boundary}--\r\n'.encode(), f'multipart/form-data; boundary={boundary}'


def post_form(server, path, parts, **more):
    body, media = multipart(parts)
    return request(server, 'POST', path, body, {'Content-Type': media}, **more)


def connect(server, timeout=30):
    s = socket.create_connection(('127.0.0.1', server.port), timeout=timeout * SLOWDOWN)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_answer(s, method='GET', buffered=b''):
    """One answer from a socket: (Answer, bytes that follow). Answer None: the connection ended first."""
    data = buffered
    while True:
        while b'\r\n\r\n' not in data:
            more = s.recv(65536)
            if not more:
                return None, data
            data += more
        head, data = data.split(b'\r\n\r\n', 1)
        lines = head.decode('latin-1').split('\r\n')
        status = int(lines[0].split(' ')[1])
        if status != 100:  # after an interim answer comes the real one
            break
    headers = http.client.HTTPMessage()
    for line in lines[1:]:
        name, _, value = line.partition(':')
        headers[name] = value.strip()
    length = 0 if method == 'HEAD' or status in (204, 304) else int(headers.get('Content-Length', 0))
    while len(data) < length:
        more = s.recv(65536)
        if not more:
            return None, data
        data += more
    return Answer(status, headers, data[:length]), data[length:]


def exchange(server, raw, half_close=False, timeout=30):
    """Sends bytes, reads one answer; None when the connection ended without one."""
    with connect(server, timeout) as s:
        try:
            s.sendall(raw)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # answered and closed before all was sent
        try:
            return read_answer(s)[0]
        except (ConnectionError, OSError):
            return None


def head_of(path, body, media='application/json', more=''):
    return f'POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n{more}\r\n'.encode()


# ---- photos ----

def base64_of(data):
    return base64.b64encode(data).decode()


class Photos:
    """Small pictures from the npm packages' samples. one, same: a woman and the same photo changed; other: another person; group: three."""

    def __init__(self):
        try:
            import cv2
            import numpy
        except ImportError:
            skip_all('python3-opencv is not installed')
        self.cv2, self.numpy = cv2, numpy
        picture = cv2.imread(os.path.join(SAMPLES, 'sample3.jpg'))
        if picture is None:
            skip_all('tools/models/node_modules is not installed (./setup)')
        self.picture = self.cut(picture, (1390, 180, 1790, 700), 320)
        self.one = self.jpeg(self.picture)
        self.same = self.jpeg(cv2.convertScaleAbs(self.cut(picture, (1410, 210, 1770, 678), 300), alpha=0.9, beta=12))
        self.other = self.jpeg(self.cut(picture, (490, 220, 890, 740), 320))
        self.group = self.jpeg(cv2.resize(picture, (640, 450), interpolation=cv2.INTER_AREA))
        height = numpy.arange(240, dtype=numpy.uint8)[:, None, None]
        self.empty = self.jpeg(numpy.broadcast_to(height, (240, 320, 3)).copy())
        self.one_text, self.same_text, self.other_text = base64_of(self.one), base64_of(self.same), base64_of(self.other)
        self.group_text, self.empty_text = base64_of(self.group), base64_of(self.empty)

    def cut(self, picture, region, width):
        x0, y0, x1, y1 = region
        part = picture[max(y0, 0):y1, max(x0, 0):x1]
        return self.cv2.resize(part, (width, round(width * part.shape[0] / part.shape[1])), interpolation=self.cv2.INTER_AREA)

    def encode(self, picture, extension, *parameters):
        return self.cv2.imencode(extension, picture, list(parameters))[1].tobytes()

    def jpeg(self, picture, quality=92):
        return self.encode(picture, '.jpg', self.cv2.IMWRITE_JPEG_QUALITY, quality)

    def with_orientation(self, jpeg, orientation):
        """The same JPEG with an EXIF orientation."""
        tiff = b'MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01' + bytes([0, orientation]) + b'\x00\x00' + b'\x00\x00\x00\x00'
        segment = b'Exif\x00\x00' + tiff
        return jpeg[:2] + b'\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + jpeg[2:]


def gif_of(width, height, gray):
    """A one-colour GIF with LZW codes that are cleared before they grow: small enough to write by hand."""
    palette = bytes([gray] * 3 + [0] * 3 + [0] * 6)
    codes, bits, count = [], 3, 0
    for _ in range(width * height):
        if count % 2 == 0:
            codes.append(4)
        codes.append(0)
        count += 1
    codes.append(5)
    value = filled = 0
    data = bytearray()
    for code in codes:
        value |= code << filled
        filled += bits
        while filled >= 8:
            data.append(value & 255)
            value >>= 8
            filled -= 8
    data.append(value & 255)
    blocks = b''.join(bytes([len(data[i:i + 255])]) + bytes(data[i:i + 255]) for i in range(0, len(data), 255)) + b'\x00'
    size = width.to_bytes(2, 'little') + height.to_bytes(2, 'little')
    return b'GIF89a' + size + b'\x91\x00\x00' + palette + b'\x2c\x00\x00\x00\x00' + size + b'\x00\x02' + blocks + b';'


# ---- JSON Schema (the part that OpenAPI documents use) ----

TYPES = {'object': dict, 'array': list, 'string': str, 'boolean': bool, 'null': type(None)}


def is_type(value, name):
    if name == 'integer':
        return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and value.is_integer()
    if name == 'number':
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def resolve(schema, document):
    while '$ref' in schema:
        target = document
        for part in schema['$ref'].lstrip('#/').split('/'):
            target = target[part]
        schema = target
    return schema


def violations(value, schema, document, at='$', whole=True):
    """What is wrong with a value, as texts. `whole`: the schema names every member (it is no part of an allOf)."""
    if schema is True or schema == {}:
        return []
    schema = resolve(schema, document)
    wrong = []
    types = schema.get('type')
    if types and not any(is_type(value, t) for t in ([types] if isinstance(types, str) else types)):
        return [f'{at}: {type(value).__name__} is not {types}']
    if 'enum' in schema and value not in schema['enum'] or 'const' in schema and value != schema['const']:
        wrong.append(f'{at}: {value!r} is not one of the values')
    for one, least in (('anyOf', 1), ('oneOf', 1)):
        if one in schema and sum(not violations(value, s, document, at) for s in schema[one]) < least:
            wrong.append(f'{at}: none of {one} fits')
    for part in schema.get('allOf', []):
        wrong += violations(value, part, document, at, whole=False)
    if is_type(value, 'number'):
        if value < schema.get('minimum', value) or value > schema.get('maximum', value):
            wrong.append(f'{at}: {value} is out of range')
    if isinstance(value, str) and not schema.get('minLength', 0) <= len(value) <= schema.get('maxLength', len(value)):
        wrong.append(f'{at}: length {len(value)}')
    if isinstance(value, list):
        if not schema.get('minItems', 0) <= len(value) <= schema.get('maxItems', len(value)):
            wrong.append(f'{at}: {len(value)} items')
        for i, item in enumerate(value if 'items' in schema else []):
            wrong += violations(item, schema['items'], document, f'{at}[{i}]')
    if isinstance(value, dict):
        known = schema.get('properties', {})
        wrong += [f'{at}: {name} is missing' for name in schema.get('required', []) if name not in value]
        for name, item in value.items():
            if name in known:
                wrong += violations(item, known[name], document, f'{at}.{name}')
            elif schema.get('additionalProperties') is False or whole and known and not {'additionalProperties', 'allOf'} & set(schema):
                wrong.append(f'{at}: {name} is not in the schema')
            elif isinstance(schema.get('additionalProperties'), dict):
                wrong += violations(item, schema['additionalProperties'], document, f'{at}.{name}')
    return wrong


def answer_schema(document, method, path, status):
    """The schema of an answer's JSON, or None when the document does not describe it."""
    operation = document['paths'].get(path, {}).get(method.lower(), {})
    response = operation.get('responses', {}).get(str(status)) or operation.get('responses', {}).get('default')
    if response is None:
        return None
    content = resolve(response, document).get('content', {})
    wanted = 'application/json' if status < 400 else 'application/problem+json'
    return content.get(wanted, {}).get('schema')
