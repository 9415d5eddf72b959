"""The catalogue of models (models/catalogue.json): which models there are, where each comes from, and which packs use them.

A model has, besides its identity and licence:

  onnx      the ready ONNX file as a mirror holds it: file, sha256, bytes
  upstream  the published originals: {url | npm + path | path, sha256, bytes, mirror}; `mirror` is where a mirror keeps the original
  recipe    how the originals become ONNX (recipes.py), or "none": only a mirror has it ready, and `only_mirror` says why
  runtime   the model's part of the run-time manifest (docs/models.md): input, crop, decoder, outputs, thresholds

A pack gives every role a model id, a list of them (an ensemble), null, or {"first_of": [...]}: the first that can be
obtained; a null at its end leaves the role empty when none can. `also` names models that are installed without a role; `adjust`
overrides run-time members, because the scale of a crop depends on how tightly the pack's detector draws its boxes.
"""

import copy
import hashlib
import json
import os
import re

from manifest import ROLES
from recipes import RECIPES


class CatalogueError(Exception):
    """The catalogue or a user's pack says something that makes no sense."""


class Pack:
    def __init__(self, name, spec):
        self.name = name
        self.summary = spec.get("summary", "")
        self.research_only = bool(spec.get("research_only", False))
        self.roles = spec["roles"]
        self.also = spec.get("also", [])
        self.adjust = spec.get("adjust", {})


class Catalogue:
    """Models by id and packs by name. `digest` identifies the text it was read from, `own` holds the ids of a user's own models."""

    def __init__(self, text, origin):
        self.own = set()
        try:
            spec = json.loads(text)
            self.models = {m["id"]: m for m in spec["models"]}
            self.packs = {name: Pack(name, p) for name, p in spec["packs"].items()}
        except (ValueError, KeyError, TypeError) as problem:
            raise CatalogueError(f"{origin}: {problem!r}") from problem
        self.digest = hash_text(text)
        for model in self.models.values():
            check_model(model, origin)
        for pack in self.packs.values():
            self.check_pack(pack, origin)

    def check_pack(self, pack, origin):
        for role in pack.roles:
            if role not in ROLES:
                raise CatalogueError(f"{origin}: pack {pack.name}: no role is called {role!r}; roles are {', '.join(ROLES)}")
            for candidates in slots(pack.roles[role]):
                if not candidates or None in candidates[:-1] or candidates == [None]:
                    raise CatalogueError(f"{origin}: pack {pack.name}, role {role}: first_of names models, and null after them at most")
                for model_id in candidates:
                    if model_id is not None and model_id not in self.models:
                        raise CatalogueError(f"{origin}: pack {pack.name}, role {role}: no model {model_id!r} in the catalogue")
        for model_id in [*pack.also, *pack.adjust]:
            if model_id not in self.models:
                raise CatalogueError(f"{origin}: pack {pack.name}: no model {model_id!r} in the catalogue")

    def add_user_pack(self, path):
        """Reads a pack of the user's own: {"roles": {...}, "models": [...]}; returns its Pack. Its models win over equal ids."""
        try:
            with open(path, encoding="utf-8") as f:
                text = f.read()
            spec = json.loads(text)
            models = spec.get("models", [])
            pack = Pack(os.path.splitext(os.path.basename(path))[0], spec)
            for model in models:
                check_model(model, path)
                for original in model["upstream"]:
                    if "path" in original and "npm" not in original:
                        original["path"] = os.path.join(os.path.dirname(os.path.abspath(path)), original["path"])
                self.models[model["id"]] = model
                self.own.add(model["id"])
        except OSError as problem:
            raise CatalogueError(f"cannot read the pack {path}: {problem.strerror}") from problem
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise CatalogueError(f"{path}: {problem!r}") from problem
        self.check_pack(pack, path)
        self.digest += ":" + hash_text(text)
        return pack


def hash_text(text):
    return hashlib.sha256(text.encode()).hexdigest()


def slots(role_value):
    """A role's value as a list of slots, each a list of candidate ids; None as the last one: the slot may stay empty."""
    if role_value is None:
        return []
    if isinstance(role_value, str):
        return [[role_value]]
    if isinstance(role_value, dict):
        return [list(role_value["first_of"])]
    return [[model_id] for model_id in role_value]


def check_model(model, origin):
    for member in ("id", "task", "licence", "source", "recipe", "upstream", "runtime"):
        if member not in model:
            raise CatalogueError(f"{origin}: model {model.get('id', '?')} has no {member!r}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", model["id"]):
        raise CatalogueError(f"{origin}: model id {model['id']!r} must be letters, digits, dot, dash or underscore")
    if model["task"] not in ROLES:
        raise CatalogueError(f"{origin}: model {model['id']}: task {model['task']!r} is not one of {', '.join(ROLES)}")
    if model["recipe"] not in RECIPES and model["recipe"] != "none":
        raise CatalogueError(f"{origin}: model {model['id']}: no recipe is called {model['recipe']!r}; recipes are {', '.join(RECIPES)}, none")
    if model["recipe"] == "none" and (model["upstream"] or "onnx" not in model or "only_mirror" not in model):
        raise CatalogueError(f"{origin}: model {model['id']}: recipe none needs `onnx` and `only_mirror`, and has no upstream")
    for original in model["upstream"]:
        if not re.fullmatch(r"[0-9a-f]{64}", original.get("sha256", "")):
            raise CatalogueError(f"{origin}: model {model['id']}: an upstream file without sha256 is never used")


def merged(base, patch):
    """`base` with the members of `patch` written over it, objects member by member."""
    result = copy.deepcopy(base)
    for key, value in patch.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else copy.deepcopy(value)
    return result


def manifest_entry(model, pack, facts):
    """One entry of models/local/manifest.json (grammar: docs/models.md). `facts`: file, sha256, bytes, obtained_from."""
    entry = {"id": model["id"], "task": model["task"], **facts, "licence": model["licence"], "source": model["source"]}
    if "note" in model:
        entry["note"] = model["note"]
    entry.update(merged(model["runtime"], pack.adjust.get(model["id"], {})))
    return entry


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            return Catalogue(f.read(), path)
    except OSError as problem:
        raise CatalogueError(f"cannot read {path}: {problem.strerror}") from problem
