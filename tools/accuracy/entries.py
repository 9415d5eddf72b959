"""models/measured.json: what tools/models/pull writes into manifests as `threshold` and `measured` (docs/models.md)."""

import json

NAMES = {"wider_val_416": "WIDER FACE val at 416 px, from 16 px", "aflw2000_prnet16": "AFLW2000-3D", "utkface_400": "UTKFace",
         "emotion_fer2013_900": "FER2013 private test", "pad_fullframe_photos": "full-frame photos", "deepfake_stills_misc": "stills of several sources"}


def figure(measure, set_name, n, value, low, high, unit="rate", conditions=None):
    made = {"measure": measure, "set": NAMES.get(set_name, set_name), "n": n, "value": short(value), "low": short(low), "high": short(high), "unit": unit}
    return {**made, "conditions": conditions} if conditions else made


def short(value):
    return float(f"{value:.4g}")


def rated(measure, set_name, r, conditions=None):
    """Of an answer with n, rate, low, high; None when nobody was there."""
    return figure(measure, set_name, r["n"], r["rate"], r["low"], r["high"], conditions=conditions) if r and r["n"] else None


def of_detectors(pack, add):
    d = pack["detection"].get("wider_val_416")
    if d:
        add(d["model"], figure("faces found", "wider_val_416", d["faces"], d["recall"], d["recall_low"], d["recall_high"], conditions="at an overlap of 0.5"))
        add(d["model"], figure("average precision", "wider_val_416", d["images"], d["average_precision"], d["average_precision_low"], d["average_precision_high"],
                               conditions="at an overlap of 0.5"))


def of_faces(pack, add):
    """Pose, age, gender, expression: one network each, on faces that the pack's detector found."""
    found_by = f"faces found by {pack['roles']['detect'][0]}"
    for set_name, answer in pack["attributes"].items():
        everybody = answer["groups"][0]
        if everybody.get("pose"):
            for axis in ("yaw", "pitch", "roll"):
                e = everybody["pose"][axis]
                add(answer["models"]["landmarks"], figure(f"error of {axis}", set_name, everybody["pose"]["n"], e["mean_absolute_error"], e["low"], e["high"], "degrees", found_by))
        if everybody.get("age"):
            e = everybody["age"]
            add(answer["models"]["age_gender"], figure("error of age", set_name, e["n"], e["mean_absolute_error"], e["low"], e["high"], "years", found_by))
            add(answer["models"]["age_gender"], rated("gender", set_name, everybody["gender"], found_by))
        if everybody.get("emotion"):
            add(answer["models"]["expression"], rated("expression of seven", set_name, everybody["emotion"], "given crops"))


def of_ensembles(pack, add):
    """Anti-spoofing and deepfake networks answer together, so each carries the figure of all."""
    for role, set_name, right, wrong in (("spoof", "pad_fullframe_photos", "live people accepted", "attacks refused"),
                                         ("deepfake", "deepfake_stills_misc", "real faces accepted", "forgeries found")):
        answer = pack["attributes"].get(set_name)
        for model in pack["roles"].get(role, ()) if answer else ():
            others = [m for m in pack["roles"][role] if m != model]
            together = "with " + ", ".join(others) if others else None
            for measure, genuine in ((right, True), (wrong, False)):
                add(model, rated(measure, set_name, summed(answer, role, genuine), together))


def summed(answer, role, genuine):
    """Groups named by their label first (live/..., real/...) taken together; Wilson's interval of the sum."""
    groups = [g[role] for g in answer["groups"][1:] if g.get(role) and g["group"].startswith(("live", "real")) == genuine]
    n, right = sum(g["n"] for g in groups), sum(g["right"] for g in groups)
    if n == 0:
        return None
    low, high = wilson(right, n)
    return {"n": n, "rate": right / n, "low": low, "high": high}


def wilson(right, n, z=1.959964):
    """Wilson 1927: the score interval of a rate."""
    p, z2 = right / n, z * z
    middle, half = (p + z2 / (2 * n)) / (1 + z2 / n), z / (1 + z2 / n) * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def collect(answers):
    """{id: {"threshold": [...], "measured": [...]}} of all models that were measured."""
    models = {}

    def add(model, entry):
        listed = models.setdefault(model, {}).setdefault("measured", [])
        if entry and not any(all(entry.get(k) == other.get(k) for k in ("measure", "set", "conditions")) for other in listed):
            listed.append(entry)

    for p in answers["pairings"]:
        models.setdefault(p["embed"], {}).setdefault("threshold", []).append(unsaved(p["threshold"]))
        for entry in p["measured"]:
            add(p["embed"], unsaved(entry))
    for pack in answers["packs"]:
        of_detectors(pack, add)
        of_faces(pack, add)
        of_ensembles(pack, add)
    return models


def unsaved(entry):
    """`saved` is for what a user has measured on a machine of their own."""
    return {k: v for k, v in entry.items() if k != "saved"}


def write(path, answers):
    """One entry a line, so that a change of a figure is a change of a line."""
    lines = []
    for model, entry in sorted(collect(answers).items()):
        members = [f'  "{name}": [\n' + ",\n".join("   " + json.dumps(one) for one in entry[name]) + "\n  ]" for name in ("threshold", "measured") if entry.get(name)]
        lines.append(f' "{model}": {{\n' + ",\n".join(members) + "\n }")
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")
