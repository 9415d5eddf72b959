"""Where bytes come from: a mirror (folder or URL), published URLs, the two npm packages, a file beside a user's pack.

Nothing leaves this file before its sha256 is the expected one. A host that cannot be reached is remembered and not tried
again, and all waiting for dead hosts together is bounded, so a machine that reaches nothing but npm does not wait for minutes.
"""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import namedtuple

CONNECT_SECONDS = 8  # no answer, or no byte, for so long: give up on the host
SLOW_SECONDS, SLOW_BYTES_PER_SECOND = 20, 32 * 1024  # after so long, an average below this is as good as no answer
DEAD_HOSTS_SECONDS = 16  # spent on hosts that do not answer, in all; then the network counts as down
MAX_BYTES = 512 * 1024 * 1024  # no model we know is half as large


class Unobtainable(Exception):
    """One source does not have a file; the message says what was tried and why it failed."""


class NotTried(Unobtainable):
    """It was not even tried, for a reason that was said before."""


# One source of one file: `kind` and `what` name it in a line about a failure; `read()` gives the bytes that have `sha256`, and
# after it `address()` the whole of where they came from.
Way = namedtuple("Way", "kind what address sha256 read")


def verified(data, sha256, what):
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise Unobtainable(f"{what}: sha256 is {got[:12]}..., expected {sha256[:12]}... ({len(data)} bytes); not used")
    return data


def read_file(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as problem:
        raise Unobtainable(f"{path}: {problem.strerror}") from problem


class Web:
    """HTTP(S) GET, with a memory of hosts that do not answer."""

    def __init__(self, offline=False):
        self.offline = offline
        self.dead = set()
        self.wasted = 0.0

    def read(self, url):
        host = urllib.parse.urlsplit(url).netloc
        if self.offline:
            raise NotTried(f"{url}: not tried (--offline)")
        if host in self.dead:
            raise NotTried(f"{url}: not tried, {host} cannot be reached")
        if self.wasted >= DEAD_HOSTS_SECONDS:
            raise NotTried(f"{url}: not tried, the network seems to be down")
        started = time.monotonic()
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "mien-models-pull"})
            with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer:
                return self.body(answer, url)
        except urllib.error.HTTPError as problem:
            raise Unobtainable(f"{url}: HTTP {problem.code}") from problem
        except (OSError, ValueError, http.client.HTTPException) as problem:  # URLError, timeouts, resets, bad URLs and answers
            reason = getattr(problem, "reason", None) or problem
            self.wasted += time.monotonic() - started
            self.dead.add(host)
            raise Unobtainable(f"{url}: {getattr(reason, 'strerror', None) or reason}") from problem

    @staticmethod
    def body(answer, url):
        expected = answer.headers.get("Content-Length")
        parts, count, started = [], 0, time.monotonic()
        while part := answer.read1(1 << 16):
            parts.append(part)
            count += len(part)
            elapsed = time.monotonic() - started
            if count > MAX_BYTES:
                raise Unobtainable(f"{url}: more than {MAX_BYTES >> 20} MiB")
            if elapsed > SLOW_SECONDS and count < elapsed * SLOW_BYTES_PER_SECOND:
                raise Unobtainable(f"{url}: too slow, {count} bytes in {elapsed:.0f} s")
        if expected is not None and expected.isdigit() and count != int(expected):
            raise Unobtainable(f"{url}: broke off after {count} of {expected} bytes")
        return b"".join(parts)


class Mirror:
    """A folder or URL laid out as onnx/ID.onnx and upstream/NAME."""

    def __init__(self, where, web):
        self.where = where.rstrip("/") if where else ""
        self.web = web
        self.is_url = self.where.startswith(("http://", "https://"))

    def __bool__(self):
        return bool(self.where)

    def address(self, name):
        return f"{self.where}/{urllib.parse.quote(name)}" if self.is_url else os.path.join(self.where, name)

    def read(self, name):
        if not self.where:
            raise Unobtainable("no mirror (MIEN_MODEL_MIRROR is not set)")
        return self.web.read(self.address(name)) if self.is_url else read_file(self.address(name))

    def way(self, name, sha256):
        return Way("mirror", name, lambda: f"mirror {self.address(name)}", sha256, lambda: self.read(name))


class Npm:
    """The npm packages that package-lock.json beside this file pins; installed when first needed."""

    def __init__(self, folder, offline=False, say=print):
        self.folder = folder
        self.offline = offline
        self.say = say
        self.failure = None

    def read(self, package, path):
        self.install()
        return read_file(os.path.join(self.folder, "node_modules", package, path))

    def address(self, package, path):
        """With the version that is installed, where its package.json says it."""
        try:
            with open(os.path.join(self.folder, "node_modules", package, "package.json"), encoding="utf-8") as f:
                return f"npm {package}@{json.load(f)['version']}:{path}"
        except (OSError, ValueError, KeyError, TypeError):
            return f"npm {package}:{path}"

    def install(self):
        """`npm ci` unless node_modules was made from this very lock (./setup leaves the same stamp)."""
        if self.failure:
            raise NotTried(self.failure)
        lock = os.path.join(self.folder, "package-lock.json")
        stamp = os.path.join(self.folder, "node_modules", ".from-lock")
        if os.path.exists(stamp) and read_file(stamp) == read_file(lock):
            return
        try:
            if self.offline:
                raise Unobtainable("npm packages are not installed, and --offline forbids installing them")
            self.say(f"npm ci in {self.folder}")
            # npm's own patience (retries after 10 and 60 s, for each package) would make a dead network cost minutes.
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline",
                       "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=4000", "--fetch-timeout=60000"]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                lines = [line for line in done.stderr.splitlines() if line.strip()]
                raise Unobtainable(f"npm ci failed: {lines[0] if lines else 'exit status ' + str(done.returncode)}")
            shutil.copyfile(lock, stamp)
        except FileNotFoundError as problem:
            self.failure = "npm packages: npm is not installed"
            raise Unobtainable(self.failure) from problem
        except subprocess.TimeoutExpired as problem:
            self.failure = "npm ci did not end within 300 s"
            raise Unobtainable(self.failure) from problem
        except Unobtainable as problem:
            self.failure = str(problem)
            raise


def ways_to_read(original, mirror, web, npm):
    """The ways to one upstream file, in order."""
    sha256 = original["sha256"]
    if "npm" in original:
        package, path = original["npm"], original["path"]
        yield Way(f"npm {package}", path, lambda: npm.address(package, path), sha256, lambda: npm.read(package, path))
    elif "path" in original:
        yield Way("file", original["path"], lambda: original["path"], sha256, lambda: read_file(original["path"]))
    if "mirror" in original and mirror:
        yield mirror.way(original["mirror"], sha256)
    if "url" in original:
        yield Way("url", original["url"], lambda: original["url"], sha256, lambda: web.read(original["url"]))


def first_that_works(ways, say, last="nothing else has it"):
    """Reads from the first way that gives the right bytes: (way, bytes). Says one line for each that fails: what was tried, why it
    failed, what is next (`last` after the last one)."""
    ways = list(ways)
    for position, way in enumerate(ways):
        try:
            return way, verified(way.read(), way.sha256, way.what)
        except NotTried:
            continue
        except Unobtainable as problem:
            following = ways[position + 1] if position + 1 < len(ways) else None
            say(f"{way.kind}: {problem}; next: {following.kind + ' ' + following.what if following else last}")
    raise Unobtainable("no source has it")


def together(addresses):
    """Several files' addresses as one text: of a file that lies beside the first only its name."""
    first, *others = addresses
    folder = first.rpartition("/")[0] + "/"
    return " and ".join([first, *(a.removeprefix(folder) for a in others)])
