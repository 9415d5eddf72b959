"""The tables of docs/accuracy.md, from the answers of runs.py. The page keeps its words; what stands between two marks is written anew:

    <!-- measured: NAME -->
    ...
    <!-- end -->
"""

import os
import re

MARK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->\n)", re.S)
RATES = ("1e-2", "1e-3", "1e-4", "1e-5")


class PageError(Exception):
    """The page and the tables do not fit."""


# ---- text ----

def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def by_pack(header, rows):
    """A table whose first column is the pack. Packs that share a network answer alike: their rows are one."""
    packs = {}
    for pack, *rest in rows:
        packs.setdefault(tuple(rest), []).append(pack)
    return table(header, [(", ".join(names), *rest) for rest, names in packs.items()])


def percent(rate, digits=2):
    return f"{100 * rate:.{digits}f}"


def rate(value, low, high, digits=1):
    return f"{percent(value, digits)} % ({percent(low, digits)}-{percent(high, digits)})"


def count(right, n, low, high):
    return f"{right} of {n}, {rate(right / n, low, high, 0)}" if n else "none"


def error(e, digits=1):
    return f"{e['mean_absolute_error']:.{digits}f} ({e['low']:.{digits}f}-{e['high']:.{digits}f})"


def group(answer, name="all"):
    return next((g for g in answer["groups"] if g["group"] == name), None)


# ---- the parts ----

def verification(packs, _):
    rows = []
    for p in packs:
        if "verification" in p:
            rows.append(verification_row(p["pack"], p["verification"]))
            rows.append(verification_row("same, float32", p["f32"]))
    header = ("pack", "network, detector", "accuracy, 95 %", *(f"TAR at FMR {r}, 95 %" for r in RATES))
    return table(header, rows)


def verification_row(name, v):
    accuracy = f"{percent(v['accuracy'])} +- {percent(1.96 * v['accuracy_standard_error'])} %"
    rates = (tar(point) if v[f"tar_at_{r}"] is not None else "too few comparisons" for r, point in zip(RATES, v["points"]))
    return (name, f"{v['model']}, {v['detector']} ({v['type']})", accuracy, *rates)


def tar(point):
    return rate(1 - point["fnmr"], 1 - point["fnmr_high"], 1 - point["fnmr_low"], 2)


def conditions(packs, _):
    v = next((p["verification"] for p in packs if "verification" in p), None)
    if v is None:
        return "LFW was not there.\n"
    missed = ", ".join(f"{p['pack']} {p['verification']['missed']}" for p in packs if "verification" in p)
    return (f"{v['pairs']:,} pairs in {v['folds']} folds; TAR over all pairs of the {v['images']:,} photos of {v['persons']:,} people: {v['genuine']:,} genuine and "
            f"{v['impostor']:,} impostor\ncomparisons. Photos in which no face was found: {missed}.\n")


def thresholds(packs, pairings):
    rows = []
    for p in pairings:
        t, v = p["threshold"], p["verification"]
        point = next(x for x in v["points"] if abs(x["fmr_target"] / t["fmr"] - 1) < 1e-6)
        rows.append((p["embed"], p["detect"], f"{t['similarity']:.4f}", f"{t['fmr']:g}", str(point["false_matches"]), tar(point), f"{t['slope']:.1f}", str(v["missed"])))
    header = ("network", "faces found by", "threshold", "FMR", "false matches", "TAR, 95 %", "slope", "photos without a face")
    return table(header, rows)


def own_threshold(packs, _):
    rows = [(p["pack"], p["calibrate"]["model"], f"{c['threshold']:.4f}", f"{c['threshold_low']:.4f}-{c['threshold_high']:.4f}", f"{c['false_matches']:,} of {c['impostor']:,}")
            for p in packs if (c := p.get("calibrate"))]
    return table(("pack", "network", "threshold for FMR 1e-4", "95 % interval", "false matches"), rows)


def identification(packs, _):
    rows = []
    for p in packs:
        answer = p.get("identification")
        for size in answer["sizes"] if answer else ():
            at = {f"{x['fpir_target']:g}": x for x in size["at"]}
            model = size["at_model_threshold"]
            rows.append((p["pack"], str(size["gallery_size"]), *(missed(at[r], size) if r in at else "too few strangers" for r in ("0.1", "0.01")),
                         f"{model['threshold']:.3f}: {model['false_positives']} of {answer['non_mated_searches']} false, {model['misses']} of {size['mated_searches']} missed"))
    return table(("pack", "gallery", "missed at FPIR 1e-1, 95 %", "missed at FPIR 1e-2, 95 %", "at the model's threshold"), rows)


def missed(point, size):
    return f"{count(point['misses'], size['mated_searches'], point['fnir_low'], point['fnir_high'])}, from {point['threshold']:.3f}"


SETS = {"wider_val_416": "WIDER FACE val, 200 crowds at 416 px", "dlib_faces_boxes68": "dlib's faces", "aflw2000_prnet16": "AFLW2000-3D, boxes of the 68 points"}


def detection(packs, _):
    rows = []
    for p in packs:
        for name, d in p["detection"].items():
            rows.append((p["pack"], d["model"], SETS.get(name, name), str(d["images"]), count(d["found"], d["faces"], d["recall_low"], d["recall_high"]),
                         count(d["center_found"], d["faces"], d["center_recall_low"], d["center_recall_high"]),
                         f"{d['false_boxes']}, {d['center_false_boxes']} of {d['boxes']}", f"{d['average_precision']:.3f} ({d['average_precision_low']:.3f}-{d['average_precision_high']:.3f})"))
    return by_pack(("pack", "detector", "set", "photos", "faces found at IoU 0.5", "by their centres", "false boxes: by IoU, by centre", "AP, 95 %"), rows)


def pose(packs, _):
    rows = []
    for p in packs:
        answer = p["attributes"].get("aflw2000_prnet16")
        found = group(answer)["pose"] if answer else None
        if found:
            rows.append((p["pack"], answer["models"]["landmarks"], str(found["n"]), *(error(found[axis]) for axis in ("yaw", "pitch", "roll"))))
    return by_pack(("pack", "network", "faces", "yaw, degrees", "pitch", "roll"), rows)


def age(packs, _):
    rows = []
    for p in packs:
        answer = p["attributes"].get("utkface_400")
        for g in answer["groups"] if answer else ():
            rows.append((p["pack"], answer["models"]["age_gender"], g["group"], f"{g['age']['n']}", error(g["age"]),
                         count(g["gender"]["right"], g["gender"]["n"], g["gender"]["low"], g["gender"]["high"])))
    return by_pack(("pack", "network", "people", "faces", "age: mean absolute error, years", "gender right, 95 %"), rows)


def expression(packs, _):
    rows = []
    for p in packs:
        answer = p["attributes"].get("emotion_fer2013_900")
        e = group(answer)["emotion"] if answer else None
        for c in ([{**e, "emotion": "all seven"}] + e["classes"]) if e else ():
            rows.append((p["pack"], answer["models"]["expression"], c["emotion"], count(c["right"], c["n"], c["low"], c["high"])))
    return by_pack(("pack", "network", "labelled as", "right, 95 %"), rows)


def judged(packs, set_name, member, role):
    """Rows of anti-spoofing and deepfake sets: one a pack and kind."""
    rows = []
    for p in packs:
        answer = p["attributes"].get(set_name)
        for g in answer["groups"] if answer else ():
            s = g.get(member)
            if g["group"] != "all" and s and s["n"]:
                rows.append((p["pack"], ", ".join(p["roles"][role]), g["group"].strip("/ ") or "real", count(s["right"], s["n"], s["low"], s["high"])))
    return rows


def spoof(packs, _):
    return by_pack(("pack", "networks", "kind", "right at 0.5, 95 %"), judged(packs, "pad_fullframe_photos", "spoof", "spoof"))


def deepfake(packs, _):
    return by_pack(("pack", "networks", "kind", "right at 0.5, 95 %"), judged(packs, "deepfake_stills_misc", "deepfake", "deepfake"))


def summary(packs, _):
    """For README: one line a pack."""
    rows = [(p["pack"], f"{percent(v['accuracy'])} %", *(f"{percent(v[f'tar_at_{r}'])} %" if v[f"tar_at_{r}"] is not None else "" for r in RATES[1:]))
            for p in packs if (v := p.get("verification"))]
    return table(("pack", "accuracy", *(f"TAR at FMR {r}" for r in RATES[1:])), rows)


PARTS = {"conditions": conditions, "verification": verification, "thresholds": thresholds, "own_threshold": own_threshold, "identification": identification,
         "detection": detection, "pose": pose, "age": age, "expression": expression, "spoof": spoof, "deepfake": deepfake}
README_PARTS = {"summary": summary}


def parts(answers, of=None):
    """The text of every part by its name."""
    return {name: make(answers["packs"], answers["pairings"]) for name, make in (of or PARTS).items()}


def rewrite(path, new):
    """Puts the parts into the page. Every mark has a part and every part its mark."""
    with open(path, encoding="utf-8") as f:
        page = f.read()
    marks = [m.group(2) for m in MARK.finditer(page)]
    if sorted(marks) != sorted(new):
        raise PageError(f"{os.path.basename(path)} has the marks {', '.join(sorted(marks))}; wanted are {', '.join(sorted(new))}")
    page = MARK.sub(lambda m: m.group(1) + new[m.group(2)] + m.group(3), page)
    with open(path, "w", encoding="utf-8") as f:
        f.write(page)
