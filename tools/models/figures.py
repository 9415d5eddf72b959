"""Figures of models: those of models/measured.json, and those that `mien eval verification --save` measured on this machine.

models/measured.json is {"ID": {"threshold": [...], "measured": [...]}, ...} with the entries of docs/models.md. A model's thresholds are
told apart by their detector, its other figures by what was measured, on what and how. Of two that are alike the one from this
machine wins over measured.json, and that over the catalogue.
"""

import hashlib
import json

import manifest as manifests

MOST = {"threshold": 8, "measured": 16}  # as many as a manifest may hold
KEYS = {"threshold": ("detector",), "measured": ("measure", "set", "conditions")}


class FiguresError(Exception):
    """measured.json is not what it should be; the message names the model and the member."""


class Measured:
    """measured.json by model id. `digest` identifies its text; "" when there is no such file."""

    def __init__(self, path):
        self.entries, self.digest = {}, ""
        try:
            with open(path, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            return
        except OSError as problem:
            raise FiguresError(f"cannot read {path}: {problem.strerror}") from problem
        try:
            self.entries = json.loads(data)
            if not isinstance(self.entries, dict):
                raise ValueError("it is not an object of models")
            for model_id, entry in self.entries.items():
                check(model_id, entry)
        except (ValueError, RecursionError, manifests.ManifestError) as problem:
            raise FiguresError(f"{path}: {problem}") from problem
        self.digest = hashlib.sha256(data).hexdigest()


def check(model_id, entry):
    model = {"id": model_id}
    manifests.need(isinstance(entry, dict), model, "it is not an object")
    for member, value in entry.items():
        manifests.need(member in MOST, model, f"{member} is no member of it; it has {' and '.join(MOST)}")
        manifests.need(isinstance(value, list), model, f"{member} is not a list")
        for figure in value:
            manifests.need(isinstance(figure, dict), model, f"{member}: an entry is not an object")
            manifests.need("saved" not in figure, model, f"{member}: `saved` belongs to a manifest, not here")
    manifests.check_figures({**model, **{member: value for member, value in entry.items() if value}})


def listed(value):
    """A member's value as a list: a single threshold need not be one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def key(member, figure):
    return tuple(figure.get(k, "") for k in KEYS[member])


def overlaid(member, base, over):
    """`base` with the entries of `over` in the place of those like them, the others of `over` behind; the last of `base` give way when it gets too long."""
    new = {key(member, figure): figure for figure in over}
    known = {key(member, figure) for figure in base}
    result = [new.get(key(member, figure), figure) for figure in base]
    behind = [figure for k, figure in new.items() if k not in known]
    while len(result) + len(behind) > MOST[member] and any(key(member, figure) not in new for figure in result):
        result.remove([figure for figure in result if key(member, figure) not in new][-1])
    return result + behind


def apply(entry, measured, saved):
    """Gives a manifest's entry its figures. `measured`, `saved`: what measured.json and this machine have for the model."""
    manifests.check_figures(entry)
    for member in MOST:
        own = listed(entry.get(member))
        # A committed figure stands before those of the catalogue: the first is used where none fits the pack's detector.
        found = measured.get(member, [])
        base = found + [figure for figure in own if key(member, figure) not in {key(member, f) for f in found}]
        result = overlaid(member, base[: MOST[member]], saved.get(member, []))
        if result:
            entry[member] = result[0] if member == "threshold" and len(result) == 1 else result


def saved_of(manifest, path):
    """What `--save` wrote into the manifest at `path`: id -> {"sha256", "threshold": [...], "measured": [...]}. Raises ManifestError."""
    found = {}
    for model in manifest["models"]:
        kept = {member: [f for f in listed(model.get(member)) if isinstance(f, dict) and f.get("saved") is True] for member in MOST}
        if not any(kept.values()):
            continue
        model_id = model["id"]
        try:
            manifests.check_figures({"id": model_id, **{member: figures for member, figures in kept.items() if figures}})
        except manifests.ManifestError as problem:
            raise manifests.ManifestError(f"{path}: {problem}; it was measured here (`saved`), so it is not thrown away: correct it, or remove it") from problem
        found[model_id] = {"sha256": model.get("sha256"), **kept}
    return found
