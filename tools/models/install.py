"""tools/models/pull: obtains a pack, model by model, and writes the folder that `mien` reads."""

import argparse
import hashlib
import os
import sys
import time

import catalogue as catalogues
import manifest as manifests
import recipes
from sources import Mirror, Npm, Unobtainable, Web, first_that_works, ways_to_read
from store import Store

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
FALL_BACK = "npm"


def say(text):
    print(f"models: {text}", flush=True)


class Puller:
    """Obtains models for one pack after another; everything it did is in `origin` (id -> where it came from)."""

    def __init__(self, catalogue, store, mirror, web, npm):
        self.catalogue = catalogue
        self.store = store
        self.mirror = mirror
        self.web = web
        self.npm = npm
        self.origin = {}

    def obtain(self, model):
        """Installs one model and returns its manifest facts (file, sha256, bytes, where from). Raises Unobtainable."""
        file, key = model["id"] + ".onnx", self.recipe_key(model)
        if self.is_installed(model):
            return self.facts(file, "mirror", "already here")
        if key and self.store.made_from(file) == key:
            return self.facts(file, self.upstream_kind(model), "already here")
        ready = model.get("onnx")
        if ready and self.mirror:
            try:
                ways = [("mirror", ready["file"], ready["sha256"], lambda: self.mirror.read(ready["file"]))]
                kind, data = self.read(model, ways, "its published original")
                self.store.put(file, data, "mirror")
                return self.facts(file, kind, "copied")
            except Unobtainable:
                pass
        data, where = self.converted(model)
        self.store.put(file, data, key)
        how = "converted" if model["recipe"] != "copy" else "copied" if where in ("mirror", "file") else "downloaded"
        return self.facts(file, where, how)

    def converted(self, model):
        recipe = recipes.RECIPES.get(model["recipe"])
        if recipe is None or not model["upstream"]:
            raise Unobtainable(f"its original ({model['source']}) cannot be converted here yet (recipe {model['recipe']!r}); only a mirror has it ready")
        parts, wheres = [], []
        for original in model["upstream"]:
            ways = [(kind, what, original["sha256"], read) for kind, what, read in ways_to_read(original, self.mirror, self.web, self.npm)]
            where, data = self.read(model, ways)
            parts.append(data)
            wheres.append(where)
        try:
            return recipe(parts, model), wheres[0]
        except ImportError as problem:
            raise Unobtainable(f"conversion needs Debian's python3-onnx and python3-numpy: {problem}") from problem
        except Exception as problem:  # whatever a converter trips over in a file, the next source is tried
            raise Unobtainable(f"recipe {model['recipe']!r} failed: {type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}") from problem

    @staticmethod
    def read(model, ways, last="nothing else has it"):
        return first_that_works(ways, lambda text: say(f"{model['id']}: {text}"), last)

    @staticmethod
    def recipe_key(model):
        if model["recipe"] not in recipes.RECIPES or not model["upstream"]:
            return None
        hashes = " ".join(original["sha256"] for original in model["upstream"])
        return f"{model['recipe']} {recipes.VERSION} {hashlib.sha256(hashes.encode()).hexdigest()[:16]}"

    @staticmethod
    def upstream_kind(model):
        original = model["upstream"][0]
        return f"npm {original['npm']}" if "npm" in original else "file" if "path" in original else "url"

    def facts(self, file, where, how):
        path = self.store.path(file)
        return {"file": file, "sha256": self.store.hash_of(file), "bytes": os.path.getsize(path), "where": where, "how": how}

    def pull(self, pack):
        """The manifest of a complete pack. Raises Unobtainable at the first slot that nothing can fill."""
        obtained, roles = {}, {}
        self.refuse_hopeless(pack)
        for role in catalogues.ROLES:
            chosen = [self.first_of(pack, role, candidates, obtained) for candidates in catalogues.slots(pack.roles.get(role))]
            value = pack.roles.get(role)
            roles[role] = chosen if isinstance(value, list) else chosen[0] if chosen else None
        for model_id in pack.also:
            self.first_of(pack, "besides", [model_id], obtained)
        self.origin = obtained
        models = [catalogues.manifest_entry(self.catalogue.models[i], pack, f["file"], f["sha256"], f["bytes"], f["where"])
                  for i, f in obtained.items()]
        manifest = {"version": 1, "pack": pack.name, "roles": roles, "models": models}
        manifests.check(manifest)
        return manifest

    def refuse_hopeless(self, pack):
        """Before anything is downloaded: a slot that only a mirror could fill, and there is none."""
        for role, value in pack.roles.items():
            for candidates in catalogues.slots(value):
                if candidates[-1] is None:
                    continue
                models = [self.catalogue.models[i] for i in candidates]
                if not self.mirror and not any(self.recipe_key(m) or self.is_installed(m) for m in models):
                    say(f"{pack.name}: {role} {' or '.join(candidates)}: no mirror, and the original cannot be converted here yet "
                        f"(recipe {models[-1]['recipe']!r}): {models[-1]['source']}")
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


def print_table(manifest, origin):
    """role, model, source it came from, licence in short."""
    serving = {}
    for role, value in manifest["roles"].items():
        for model_id in [value] if isinstance(value, str) else value or []:
            serving.setdefault(model_id, []).append(role)
    rows = [("role", "model", "from", "licence")]
    for model_id, facts in origin.items():
        rows.append((",".join(serving.get(model_id, ["-"])), model_id, f"{facts['where']} ({facts['how']})", facts["licence_short"]))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[3])


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
    parser.add_argument("--catalogue", default=os.path.join(CHECKOUT, "models", "catalogue.json"), help=argparse.SUPPRESS)
    parser.add_argument("--npm-dir", default=HERE, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


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
    say(f"pack {result['pack']}: {len(store.stamp['installed']) - 1} models are up to date in {store.folder}")
    if result["fell_back"]:
        say(f"the {result['asked']} pack could not be obtained; the npm pack in use is clearly less accurate. tools/models/pull --retry looks again")
    return True


def run(options):
    catalogue = catalogues.load(options.catalogue)
    pack = choose_pack(catalogue, options.pack)
    mirror_at = default_mirror()
    request = {"pack": pack.name, "catalogue": catalogue.digest, "recipes": recipes.VERSION, "mirror": mirror_at}
    store = Store(options.out)
    try:
        if up_to_date(store, request, options.retry):
            return 0
        return fill(options, catalogue, pack, mirror_at, request, store)
    finally:
        store.close()


def fill(options, catalogue, pack, mirror_at, request, store):
    started = time.monotonic()
    web = Web(options.offline)
    mirror = Mirror(mirror_at, web)
    puller = Puller(catalogue, store, mirror, web, Npm(options.npm_dir, options.offline, say))
    say(f"pack {pack.name}: mirror {mirror_at}" if mirror else f"pack {pack.name}: no mirror (MIEN_MODEL_MIRROR), published addresses")
    wanted, fell_back = pack, False
    try:
        manifest = puller.pull(pack)
    except Unobtainable as problem:
        if pack.name == FALL_BACK or pack.name not in catalogue.packs or FALL_BACK not in catalogue.packs:  # nor for a pack of one's own
            say(f"{problem}; nothing is left to try. Installed files are as they were")
            return 1
        say(f"{problem}; next: the whole {FALL_BACK} pack")
        pack, fell_back = catalogue.packs[FALL_BACK], True
        try:
            manifest = puller.pull(pack)
        except Unobtainable as also:
            say(f"{also}; nothing is left to try. Installed files are as they were")
            return 1
    store.finish(manifest, request, {"asked": wanted.name, "pack": pack.name, "fell_back": fell_back})
    for model_id, facts in puller.origin.items():
        model = catalogue.models[model_id]
        facts["licence_short"] = model.get("licence_short", model["licence"])
    print_table(manifest, puller.origin)
    for model_id in puller.origin:
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
    except (catalogues.CatalogueError, manifests.ManifestError) as problem:
        print(f"models: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"models: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
