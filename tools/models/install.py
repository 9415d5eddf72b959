"""tools/models/pull: obtains a pack, model by model, and writes the folder that `mien` reads."""

import argparse
import hashlib
import os
import sys
import time

import catalogue as catalogues
import figures
import manifest as manifests
import recipes
from sources import Mirror, Npm, Unobtainable, Web, first_that_works, together, ways_to_read
from store import Store, read_manifest

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
FALL_BACK = "npm"
MOST_ORIGIN = 255  # bytes of a manifest's `obtained_from`


def say(text):
    print(f"models: {text}", flush=True)


def shortened(text):
    """At most MOST_ORIGIN bytes; what is too long loses its middle."""
    if len(text.encode()) <= MOST_ORIGIN:
        return text
    half = (MOST_ORIGIN - 3) // 2
    return text.encode()[:half].decode(errors="ignore") + "..." + text.encode()[-half:].decode(errors="ignore")


class Puller:
    """Obtains models for one pack after another; `obtained` is what the last one consists of (id -> facts for its manifest entry)."""

    def __init__(self, catalogue, store, mirror, web, npm):
        self.catalogue = catalogue
        self.store = store
        self.mirror = mirror
        self.web = web
        self.npm = npm
        self.obtained = {}

    def obtain(self, model):
        """Installs one model and returns its manifest facts (file, sha256, bytes, origin). Raises Unobtainable."""
        file, key = model["id"] + ".onnx", self.recipe_key(model)
        if self.is_installed(model) or (key and self.store.told(file, "made_from") == key):
            return self.facts(file)
        ready = model.get("onnx")
        if ready and self.mirror:
            try:
                way, data = self.read(model, [self.mirror.way(ready["file"], ready["sha256"])], "its published original")
                self.store.put(file, data, "mirror", shortened(f"{way.address()} (copied)"))
                return self.facts(file)
            except Unobtainable:
                pass
        data, ways = self.converted(model)
        how = "converted" if model["recipe"] != "copy" else "downloaded" if ways[0].kind == "url" else "copied"
        self.store.put(file, data, key, shortened(f"{together([way.address() for way in ways])} ({how})"))
        return self.facts(file)

    def converted(self, model):
        """ONNX bytes and the ways by which the originals came."""
        if not model["upstream"]:
            raise Unobtainable(self.only_mirrored(model))
        parts, ways = [], []
        for original in model["upstream"]:
            way, data = self.read(model, ways_to_read(original, self.mirror, self.web, self.npm))
            parts.append(data)
            ways.append(way)
        try:
            return recipes.RECIPES[model["recipe"]](parts, model), ways
        except ImportError as problem:
            raise Unobtainable(f"conversion needs Debian's python3-onnx and python3-numpy: {problem}") from problem
        except Exception as problem:  # whatever a converter trips over in a file, the next source is tried
            raise Unobtainable(f"recipe {model['recipe']!r} failed: {type(problem).__name__}: {''.join(str(problem).splitlines()[:1])}") from problem

    @staticmethod
    def only_mirrored(model):
        why = model.get("only_mirror", "the catalogue has no address of its original")
        return f"only a mirror has it ready ({why}); the original is {model['source']}"

    @staticmethod
    def read(model, ways, last="nothing else has it"):
        return first_that_works(ways, lambda text: say(f"{model['id']}: {text}"), last)

    @staticmethod
    def recipe_key(model):
        if not model["upstream"]:
            return None
        hashes = " ".join(original["sha256"] for original in model["upstream"])
        return f"{model['recipe']} {recipes.VERSION} {hashlib.sha256(hashes.encode()).hexdigest()[:16]}"

    def facts(self, file):
        origin = self.store.told(file, "origin") or "unknown: found installed (verified by its sha256)"
        return {"file": file, "sha256": self.store.hash_of(file), "bytes": os.path.getsize(self.store.path(file)), "obtained_from": origin}

    def pull(self, pack):
        """Obtains a complete pack; returns which model serves which role. Raises Unobtainable at the first slot that nothing can fill."""
        obtained, roles = {}, {}
        self.refuse_hopeless(pack)
        for role in catalogues.ROLES:
            chosen = [self.first_of(pack, role, candidates, obtained) for candidates in catalogues.slots(pack.roles.get(role))]
            value = pack.roles.get(role)
            roles[role] = chosen if isinstance(value, list) else chosen[0] if chosen else None
        for model_id in pack.also:
            self.first_of(pack, "besides", [model_id], obtained)
        self.obtained = obtained
        return roles

    def refuse_hopeless(self, pack):
        """Before anything is downloaded: a slot that only a mirror could fill, and there is none."""
        for role, value in pack.roles.items():
            for candidates in catalogues.slots(value):
                if candidates[-1] is None:
                    continue
                models = [self.catalogue.models[i] for i in candidates]
                if not self.mirror and not any(self.recipe_key(m) or self.is_installed(m) for m in models):
                    say(f"{pack.name}: {role} {' or '.join(candidates)}: no mirror, and {self.only_mirrored(models[-1])}")
                    raise Unobtainable(f"role {role} of the pack {pack.name} cannot be filled")

    def is_installed(self, model):
        return "onnx" in model and self.store.hash_of(model["id"] + ".onnx") == model["onnx"]["sha256"]

    def first_of(self, pack, role, candidates, obtained):
        """The id of the first candidate that can be obtained, or None where that is allowed."""
        for position, model_id in enumerate(candidates):
            if model_id is None or model_id in obtained:
                return model_id
            try:
                obtained[model_id] = self.obtain(self.catalogue.models[model_id])
                return model_id
            except Unobtainable as problem:
                is_last = position == len(candidates) - 1
                following = "" if is_last else f"; next: {candidates[position + 1] or 'none, the role stays empty'}"
                say(f"{pack.name}: {role} {model_id}: {problem}{following}")
        raise Unobtainable(f"role {role} of the pack {pack.name} cannot be filled")


def manifest_of(puller, pack, roles, measured, saved):
    """The manifest of what was obtained, with the figures that are known. `saved`: id -> figures of this machine; those of the very file count."""
    models = []
    for model_id, facts in puller.obtained.items():
        entry = catalogues.manifest_entry(puller.catalogue.models[model_id], pack, facts)
        here = saved.get(model_id, {})
        if here and here["sha256"] != facts["sha256"]:
            say(f"{model_id}: what was measured here (`saved`) was measured with other weights and is left out")
            here = {}
        figures.apply(entry, {} if model_id in puller.catalogue.own else measured.entries.get(model_id, {}), here)
        models.append(entry)
    manifest = {"version": 1, "pack": pack.name, "roles": roles, "models": models}
    manifests.check(manifest)
    return manifest


def print_table(manifest, catalogue):
    """Role, model, licence in short, and where each file came from."""
    serving = {}
    for role, value in manifest["roles"].items():
        for model_id in [value] if isinstance(value, str) else value or []:
            serving.setdefault(model_id, []).append(role)
    rows = [("role", "model", "licence", "where from")]
    for entry in manifest["models"]:
        known = catalogue.models.get(entry["id"], {})
        licence = known.get("licence_short") or entry.get("licence", "not stated")
        rows.append((",".join(serving.get(entry["id"], ["-"])), entry["id"], licence, entry.get("obtained_from", "not recorded")))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[3])


def list_installed(options, catalogue):
    """The table of what is installed; touches nothing."""
    try:
        manifest = read_manifest(options.out)
        if manifest is None:
            say(f"nothing is installed in {options.out}")
            return 1
        say(f"pack {manifest['pack']}, {len(manifest['models'])} models in {options.out}")
        print_table(manifest, catalogue)
        return 0
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        print(f"models: the manifest in {options.out} is damaged, tools/models/pull writes it anew: {problem!r}", file=sys.stderr)
        return 1


def default_mirror():
    """MIEN_MODEL_MIRROR; when unset, a folder shared/models beside the checkout if there is one. Empty means no mirror."""
    if "MIEN_MODEL_MIRROR" in os.environ:
        return os.environ["MIEN_MODEL_MIRROR"]
    beside = os.path.join(os.path.dirname(CHECKOUT), "shared", "models")
    return beside if os.path.isdir(beside) else ""


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/models/pull", description="Obtains a pack of models, verified by sha256, and writes the manifest.")
    parser.add_argument("--pack", default=os.environ.get("MIEN_PACK") or "standard",
                        help="standard, permissive, npm, insightface, or the path of a pack of your own (default: MIEN_PACK, else standard)")
    parser.add_argument("--out", default=os.path.join(CHECKOUT, "models", "local"), help="where to install (default: models/local)")
    parser.add_argument("--offline", action="store_true", help="no network: only a mirror folder and what is already installed")
    parser.add_argument("--retry", action="store_true", help="look again for what could not be obtained last time")
    parser.add_argument("--list", action="store_true", help="print what is installed, and where each file came from; changes nothing")
    parser.add_argument("--catalogue", default=os.path.join(CHECKOUT, "models", "catalogue.json"), help=argparse.SUPPRESS)
    parser.add_argument("--measured", help=argparse.SUPPRESS)  # default: measured.json beside the catalogue
    parser.add_argument("--npm-dir", default=HERE, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.measured = options.measured or os.path.join(os.path.dirname(options.catalogue), "measured.json")
    return options


def choose_pack(catalogue, name):
    if name in catalogue.packs:
        return catalogue.packs[name]
    if os.path.exists(name) or "/" in name:
        return catalogue.add_user_pack(name)
    raise catalogues.CatalogueError(f"no pack is called {name!r}; packs are {', '.join(catalogue.packs)}, or the path of your own")


def up_to_date(store, request, retry):
    if retry or store.stamp.get("request") != request or not store.unchanged():
        return False
    result = store.stamp["result"]
    say(f"pack {result['pack']}: {len(store.stamp['installed']) - 1} models are up to date in {store.folder}; tools/models/pull --list shows where from")
    if result["fell_back"]:
        say(f"the {result['asked']} pack could not be obtained; the npm pack in use is clearly less accurate. tools/models/pull --retry looks again")
    return True


def run(options):
    catalogue = catalogues.load(options.catalogue)
    if options.list:
        return list_installed(options, catalogue)
    pack, measured = choose_pack(catalogue, options.pack), figures.Measured(options.measured)
    mirror_at = default_mirror()
    request = {"pack": pack.name, "catalogue": catalogue.digest, "measured": measured.digest, "recipes": recipes.VERSION, "mirror": mirror_at}
    store = Store(options.out)
    try:
        if up_to_date(store, request, options.retry):
            return 0
        return fill(options, catalogue, measured, pack, mirror_at, request, store)
    finally:
        store.close()


def installed_before(store):
    """The manifest that is there (None: none, or damaged), and the figures of this machine: its own, and those of models that other packs have."""
    try:
        old = read_manifest(store.folder)
    except ValueError as problem:
        say(f"{problem}; it is written anew. What `mien eval verification --save` wrote into it is lost")
        old = None
    aside = store.stamp.get("saved", {})
    there = {model["id"] for model in old["models"]} if old else ()
    saved = {model_id: here for model_id, here in aside.items() if model_id not in there}
    return old, {**saved, **(figures.saved_of(old, os.path.join(store.folder, "manifest.json")) if old else {})}


def fill(options, catalogue, measured, pack, mirror_at, request, store):
    started = time.monotonic()
    web = Web(options.offline)
    mirror = Mirror(mirror_at, web)
    puller = Puller(catalogue, store, mirror, web, Npm(options.npm_dir, options.offline, say))
    say(f"pack {pack.name}: mirror {mirror_at}" if mirror else f"pack {pack.name}: no mirror (MIEN_MODEL_MIRROR), published addresses")
    wanted, fell_back = pack, False
    old, saved = installed_before(store)
    try:
        roles = puller.pull(pack)
    except Unobtainable as problem:
        if pack.name == FALL_BACK or pack.name not in catalogue.packs or FALL_BACK not in catalogue.packs:  # nor for a pack of one's own
            say(f"{problem}; nothing is left to try. Installed files are as they were")
            return 1
        say(f"{problem}; next: the whole {FALL_BACK} pack")
        pack, fell_back = catalogue.packs[FALL_BACK], True
        try:
            roles = puller.pull(pack)
        except Unobtainable as also:
            say(f"{also}; nothing is left to try. Installed files are as they were")
            return 1
    manifest = manifest_of(puller, pack, roles, measured, saved)
    result = {"asked": wanted.name, "pack": pack.name, "fell_back": fell_back}
    store.finish(manifest, old, request, result, {i: here for i, here in saved.items() if i not in puller.obtained})
    print_table(manifest, catalogue)
    for model_id in puller.obtained:
        if "note" in catalogue.models[model_id]:
            say(f"{model_id}: {catalogue.models[model_id]['note']}")
    if pack.research_only:
        say(f"the {pack.name} pack is for non-commercial research only")
    if fell_back:
        say(f"NOTE: the {wanted.name} pack could not be obtained. The {FALL_BACK} pack is in use: it works, but is clearly less accurate")
        say("and has no anti-spoofing. Set MIEN_MODEL_MIRROR to a folder or URL with model files, then run tools/models/pull --retry")
    say(f"{len(manifest['models'])} models in {store.folder}, {time.monotonic() - started:.1f} s")
    return 0


def main(argv):
    try:
        return run(arguments(argv))
    except (catalogues.CatalogueError, manifests.ManifestError, figures.FiguresError) as problem:
        print(f"models: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"models: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
