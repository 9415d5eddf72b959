"""Checks a manifest against docs/models.md, so that a mistake in the catalogue or in a user's pack shows here and not in the server."""

import re

ROLES = ("detect", "embed", "landmarks", "landmarks68", "landmarks106", "iris", "blendshapes", "expression", "age_gender", "spoof", "deepfake", "quality")
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}
POINTS = {"five": 5, "three": 3, "landmarks68": None}
BORDERS = ("zero", "replicate", "reflect101")
FILTERS = ("bilinear", "area", "area_lanczos")
DECODERS = {"scrfd": ("score", "bbox", "kps"), "yunet": ("cls", "obj", "bbox", "kps"), "retinaface": None, "blazeface": ("scores", "boxes"), "ssd": None}
FLAT_OUTPUTS = {"retinaface": {"bbox", "conf", "landm"}, "ssd": {"boxes", "scores"}, "blazeface": {"boxes", "scores"}}
# Of each task: the sets of output roles that its models may have.
TASK_OUTPUTS = {"landmarks": [{"mesh", "presence"}], "landmarks68": [{"landmarks"}], "landmarks106": [{"landmarks"}], "iris": [{"landmarks"}],
                "blendshapes": [{"blendshapes"}], "embed": [{"embedding"}], "age_gender": [{"age", "gender"}, {"gender_age"}], "expression": [{"prob"}],
                "spoof": [{"prob"}, {"prob", "map"}], "deepfake": [{"prob"}], "quality": [{"quality"}]}
UNITS = ("rate", "degrees", "years", "points")


class ManifestError(Exception):
    """A model's entry breaks the grammar; the message names the model and the member."""


def check(manifest):
    ids = {}
    for model in manifest["models"]:
        if model["id"] in ids:
            raise ManifestError(f"{model['id']} is there twice")
        ids[model["id"]] = model
        try:
            check_model(model)
        except (KeyError, TypeError, IndexError) as problem:
            raise ManifestError(f"{model['id']}: missing or of the wrong type: {problem}") from problem
    for role, value in manifest["roles"].items():
        for model_id in [value] if isinstance(value, str) else value or []:
            need(role in ROLES and model_id in ids, {"id": model_id}, f"role {role} names a model that is not in the manifest")
            need(ids[model_id]["task"] == role, ids[model_id], f"its task is {ids[model_id]['task']}, but it serves {role}")


def need(condition, model, text):
    if not condition:
        raise ManifestError(f"{model['id']}: {text}")


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_model(m):
    need(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", m["id"]), m, "id")
    need(m["task"] in ROLES, m, f"task {m['task']!r}")
    need("/" not in m["file"] and not m["file"].startswith("."), m, f"file {m['file']!r}")
    need(re.fullmatch(r"[0-9a-f]{64}", m["sha256"]) and m["bytes"] > 0, m, "sha256, bytes")
    need(all(isinstance(m[k], str) and 0 < len(m[k].encode()) < 256 for k in ("licence", "source")), m, "licence or source is empty or too long")
    need(m.get("precision", "auto") in ("auto", "f32"), m, "precision")
    check_crop(m, m["crop"])
    if m["crop"]["kind"] != "points":
        check_input(m, m["input"])
    if m["task"] == "detect":
        check_detector(m)
    else:
        allowed = TASK_OUTPUTS[m["task"]]
        need(set(m["outputs"]) in allowed, m, f"outputs {sorted(m['outputs'])}, expected {' or '.join(str(sorted(roles)) for roles in allowed)}")
    need(all(isinstance(v, str) and v for v in m["outputs"].values()), m, "an output name is not a string")
    if m["task"] == "embed":
        check_embedding(m)
    if m["task"] == "landmarks106":
        need(m["points_scale"] in ("unit", "signed"), m, "points_scale")
    check_figures(m)
    if m["task"] in ("spoof", "deepfake"):
        need(isinstance(m["live_index"], int) and m["live_index"] >= 0, m, "live_index")
    need(number(m.get("weight", 1)) and m.get("weight", 1) > 0, m, "weight")
    need(all(isinstance(x, str) and len(x) < 32 for x in m.get("labels", [])), m, "labels")
    need(isinstance(m.get("softmax", False), bool), m, "softmax")


def check_input(m, spec):
    count = CHANNELS.get(spec["channels"])
    need(count, m, f"input.channels {spec['channels']!r}")
    need(all(isinstance(spec[k], int) and 8 <= spec[k] <= 4096 for k in ("width", "height")), m, "input.width, input.height")
    for member in ("mean", "scale"):
        need(len(spec[member]) in (1, count) and all(number(v) for v in spec[member]), m, f"input.{member}")
    need(all(v != 0 for v in spec["scale"]), m, "input.scale")


def check_crop(m, crop):
    kind = crop["kind"]
    if kind == "align":
        need(crop["points"] in POINTS, m, f"crop.points {crop['points']!r}")
        count = POINTS[crop["points"]] or len(crop["index"])
        need(2 <= count <= 8 and len(crop["template"]) == 2 * count and all(number(v) for v in crop["template"]), m, "crop.template")
        need(all(isinstance(i, int) and 0 <= i < 68 for i in crop.get("index", [])), m, "crop.index")
    elif kind in ("box", "fit_box"):
        need(number(crop["scale"]) and 0.1 <= crop["scale"] <= 10, m, "crop.scale")
        need(crop.get("border", "zero") in BORDERS and crop.get("filter", "bilinear") in FILTERS, m, "crop.border, crop.filter")
        need(isinstance(crop.get("rotate", False), bool) and number(crop.get("shift_y", 0)), m, "crop.rotate, crop.shift_y")
    elif kind == "points":
        need(0 < len(crop["mesh"]) <= 478 and all(isinstance(i, int) and 0 <= i < 478 for i in crop["mesh"]), m, "crop.mesh")
    else:
        need(kind in ("letterbox", "center_square"), m, f"crop.kind {kind!r}")


def check_detector(m):
    decoder, outputs = m["decoder"], set(m["outputs"])
    need(decoder in DECODERS, m, f"decoder {decoder!r}")
    strides = [level["stride"] for level in m["levels"]]
    by_level = {f"{kind}_{stride}" for kind in DECODERS[decoder] or () for stride in strides}
    need(outputs in (by_level, FLAT_OUTPUTS.get(decoder)) and outputs, m, f"outputs {sorted(outputs)} for decoder {decoder}")
    need(1 <= len(m["sizes"]) <= 6 and all(isinstance(s, int) and s % 32 == 0 for s in m["sizes"]), m, "sizes")
    need(m["sizes"][0] == m["input"]["width"] == m["input"]["height"], m, "sizes do not begin with the input size")
    need(len(strides) <= 4 and all(1 <= level["anchors"] <= 8 for level in m["levels"]), m, "levels")
    need(all(len(level.get("sizes", [1] * level["anchors"])) == level["anchors"] for level in m["levels"]), m, "levels: as many sizes as anchors")
    need(0 < m["score_threshold"] < 1 and 0 < m["nms_iou"] < 1, m, "score_threshold, nms_iou")


def check_embedding(m):
    need(isinstance(m["dim"], int) and 16 <= m["dim"] <= 1024, m, "dim")
    need("threshold" in m, m, "threshold is missing")


def check_figures(m):
    """The members `threshold` and `measured`, where they are there."""
    thresholds = m.get("threshold", [])
    thresholds = thresholds if isinstance(thresholds, list) else [thresholds]
    need("threshold" not in m or 1 <= len(thresholds) <= 8, m, "threshold: one, or a list of 1 to 8")
    for t in thresholds:
        check_threshold(m, t)
    detectors = [t["detector"] for t in thresholds]
    need(len(set(detectors)) == len(detectors), m, "threshold: two entries of one detector")
    measured = m.get("measured", [])
    need(isinstance(measured, list) and len(measured) <= 16, m, "measured: a list of at most 16")
    for figure in measured:
        check_figure(m, figure)


def check_threshold(m, t):
    need(isinstance(t, dict), m, "threshold: not an object")
    for member, low, high in (("similarity", -1, 1), ("fmr", 0, 1), ("slope", 0.01, 1000)):
        need(number(t.get(member)) and low <= t[member] <= high, m, f"threshold.{member}: a number of {low} to {high}")
    need(isinstance(t.get("detector"), str) and len(t["detector"].encode()) < 64, m, "threshold.detector")
    need(isinstance(t.get("saved", False), bool), m, "threshold.saved")
    curve = t.get("curve")
    if curve is None:
        return
    need(isinstance(curve, list) and 2 <= len(curve) <= 64 and all(isinstance(point, list) and len(point) == 3 and all(map(number, point)) for point in curve),
         m, "threshold.curve: 2 to 64 [similarity, fmr, fnmr]")
    need(all(-1 <= s <= 1 and 0 <= fmr <= 1 and 0 <= fnmr <= 1 for s, fmr, fnmr in curve), m, "threshold.curve: out of range")
    for a, b in zip(curve, curve[1:]):
        need(b[0] > a[0] and b[1] <= a[1] and b[2] >= a[2], m, "threshold.curve: similarity must rise, fmr not rise, fnmr not fall")


def check_figure(m, figure):
    need(isinstance(figure, dict), m, "measured: an entry is not an object")
    for member, most in (("measure", 48), ("set", 96), ("conditions", 128)):
        text = figure.get(member, None if member != "conditions" else "-")
        need(isinstance(text, str) and 0 < len(text.encode()) < most, m, f"measured.{member}")
    need(number(figure.get("n")) and isinstance(figure["n"], int) and 1 <= figure["n"] < 2 ** 31, m, "measured.n")
    need(figure.get("unit") in UNITS, m, "measured.unit")
    need(isinstance(figure.get("saved", False), bool), m, "measured.saved")
    need(all(number(figure.get(k)) and abs(figure[k]) <= 1e6 for k in ("value", "low", "high")), m, "measured.value, low, high")
    need(figure["low"] <= figure["value"] <= figure["high"], m, "measured: value is not between low and high")
