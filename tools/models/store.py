"""The folder of installed models: whole files or none, and a stamp that makes the second run quick.

A file is written under a temporary name, flushed, and renamed; an interrupted run leaves at most a temporary file, which the next
run removes. The manifest is written last, so it never names a file that is not there. The stamp remembers each file's hash with
its size and modification time: unchanged files are not read again.
"""

import fcntl
import hashlib
import json
import os

STAMP = ".pull.json"
MANIFEST = "manifest.json"


def read_manifest(folder):
    """The manifest in a folder, None when there is none. Raises ValueError when it is not one."""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as f:
            manifest = json.load(f)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: {problem}") from problem
    models = manifest.get("models") if isinstance(manifest, dict) else None
    if not isinstance(models, list) or not all(isinstance(m, dict) and isinstance(m.get("id"), str) for m in models):
        raise ValueError(f"{path}: it has no list of models")
    return manifest


class Store:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.lock = open(os.path.join(folder, ".lock"), "w", encoding="ascii")  # held for the life of the Store
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        for name in os.listdir(folder):
            if name.startswith(".part-"):
                os.unlink(self.path(name))
        try:
            with open(self.path(STAMP), encoding="utf-8") as f:
                self.stamp = json.load(f)
            self.files = dict(self.stamp["files"])
        except (OSError, ValueError, KeyError, TypeError):
            self.stamp, self.files = {}, {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        self.lock.close()

    def write(self, name, data):
        """Whole or not at all."""
        part = self.path(f".part-{name}-{os.getpid()}")
        try:
            with open(part, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.replace(part, self.path(name))
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise

    def put(self, name, data, made_from, origin=""):
        """Installs a file; returns its hash. `made_from` says from which inputs, to recognise it next time; `origin` says it to people."""
        self.write(name, data)
        return self.remember(name, hashlib.sha256(data).hexdigest(), made_from, origin)

    def remember(self, name, sha256, made_from, origin):
        status = os.stat(self.path(name))
        self.files[name] = {"sha256": sha256, "made_from": made_from, "origin": origin, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        return sha256

    def hash_of(self, name):
        """The sha256 of an installed file, None when it is absent; reads it only when it changed since the stamp."""
        try:
            status = os.stat(self.path(name))
        except OSError:
            return None
        known = self.files.get(name)
        if known and known["size"] == status.st_size and known["mtime_ns"] == status.st_mtime_ns:
            return known["sha256"]
        with open(self.path(name), "rb") as f:
            got = hashlib.sha256(f.read()).hexdigest()
        # A changed file is no longer what the recipe made: it counts only by its hash.
        same = known and known["sha256"] == got
        return self.remember(name, got, known["made_from"] if same else "", known.get("origin", "") if same else "")

    def told(self, name, what):
        """`made_from` or `origin` of an unchanged installed file; "" when unknown."""
        return self.files[name].get(what, "") if self.hash_of(name) else ""

    def unchanged(self):
        """True when the manifest and every file it names are as the stamp says."""
        names = self.stamp.get("installed", [])
        return bool(names) and all(self.hash_of(name) == self.files.get(name, {}).get("sha256") and self.files[name]["sha256"] ==
                                   self.stamp["files"].get(name, {}).get("sha256") for name in names)

    def finish(self, manifest, old, request, result, saved):
        """Writes the manifest, unless `old`, the one that is there, says the same; then the stamp. `saved`: figures of models that are not in it."""
        if manifest != old:
            self.put(MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode(), "")
        self.hash_of(MANIFEST)  # remembers one that was edited to say what is wanted
        names = [MANIFEST] + [model["file"] for model in manifest["models"]]
        stamp = {"request": request, "result": result, "installed": names, "saved": saved,
                 "files": {name: self.files[name] for name in sorted(self.files) if os.path.exists(self.path(name))}}
        self.write(STAMP, (json.dumps(stamp, indent=1) + "\n").encode())
