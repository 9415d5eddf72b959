"""Runs the verbs of `mien` that measure, on one installed pack after another."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import sets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIEN = os.environ.get("MIEN", os.path.join(ROOT, "build", "mien"))
PULL = os.path.join(ROOT, "tools", "models", "pull")
LFW = "LFW, 2 folds"

# Recognition models are measured with each of these detectors, in whatever pack they are: a threshold belongs to both.
DETECTORS = ("yunet_n", "scrfd_2.5g_bnkps", "blazeface_back")
RECOGNITION = ("espdl_mbf_512", "ov_face_reid_0095", "insightface_y1_128", "faceapi_recognition")


class Failed(Exception):
    """A verb or the set-up of a pack failed in a way that leaves the page without a figure that it should have."""


def say(text):
    print(f"measure: {text}", file=sys.stderr, flush=True)


class Runner:
    def __init__(self, data, work, limit):
        self.data, self.work, self.limit = data, work, limit

    def have(self, name):
        return os.path.isdir(os.path.join(self.data, name))

    def at(self, *names):
        return os.path.join(self.data, *names)

    # ---- packs ----

    def pack(self, name):
        """All answers of one pack; None when it cannot be obtained here."""
        folder = os.path.join(self.work, name)
        return self.everything(folder) if self.install(name, folder, name) else None

    def folder(self, folder):
        """The same for a folder that somebody has filled; what is measured is written into a copy of it."""
        copy = os.path.join(self.work, "copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        return self.everything(copy)

    def install(self, pack, folder, expected):
        done = subprocess.run([PULL, "--pack", pack, "--out", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode == 0 and self.manifest(folder)["pack"] == expected:
            return True
        say(f"{expected}: cannot be obtained here: {done.stdout.decode(errors='replace').strip().splitlines()[-1][:200]}")
        return False

    @staticmethod
    def manifest(folder):
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as f:
            return json.load(f)

    def pairings(self):
        """Every recognition model with every detector: [{embed, detect, verification, entry}]."""
        answers = []
        for embed in RECOGNITION if self.have("lfw") else ():
            for detect in DETECTORS:
                folder = os.path.join(self.work, "pairings", f"{embed}+{detect}")
                os.makedirs(os.path.dirname(folder), exist_ok=True)
                roles = {"detect": detect, "embed": embed}
                if embed == "faceapi_recognition":
                    roles["landmarks68"] = "faceapi_landmark68"  # its alignment needs them
                with tempfile.TemporaryDirectory() as made:
                    path = os.path.join(made, "pairing.json")
                    with open(path, "w", encoding="utf-8") as f:
                        json.dump({"roles": roles}, f)
                    if not self.install(path, folder, "pairing"):
                        continue
                answers.append({"embed": embed, "detect": detect, **self.verification(folder)})
        return answers

    # ---- one pack ----

    def everything(self, folder):
        manifest = self.manifest(folder)
        roles = {role: [value] if isinstance(value, str) else value or [] for role, value in manifest["roles"].items()}
        answers = {"pack": manifest["pack"], "roles": roles}
        say(f"pack {manifest['pack']}")
        if self.have("lfw") and roles.get("embed"):
            answers.update(self.verification(folder))
            answers["f32"] = self.mien(folder, "--type", "f32", "eval", "verification", *self.pairs())
            answers["calibrate"] = self.calibrate(folder)
            answers["identification"] = self.mien(folder, "eval", "identification", "--images", self.at("lfw", "images"))
        answers["detection"] = {name: self.detection(folder, name, make) for name, make in sets.DETECTION.items() if self.have(name)}
        answers["attributes"] = {name: self.attributes(folder, name, *how) for name, (needed, *how) in ATTRIBUTES.items()
                                 if self.have(name) and all(roles.get(role) for role in needed)}
        return answers

    def pairs(self):
        return ("--pairs", self.at("lfw", "pairs.txt"), "--images", self.at("lfw", "images"), *(("--limit", str(self.limit)) if self.limit else ()))

    def verification(self, folder):
        """The report, and what was saved of it in the manifest."""
        rate = "1e-3" if self.few_impostors_at_1e4(folder) else "1e-4"
        report = self.mien(folder, "eval", "verification", *self.pairs(), "--set", LFW, "--save", "--fmr", "0.1" if self.limit else rate)
        model = next(m for m in self.manifest(folder)["models"] if m["id"] == report["model"])
        thresholds = model["threshold"] if isinstance(model["threshold"], list) else [model["threshold"]]
        return {"verification": report, "threshold": next(t for t in thresholds if t["detector"] == report["detector"]),
                "measured": [f for f in model["measured"] if f.get("conditions") == f"faces found by {report['detector']}"]}

    def few_impostors_at_1e4(self, folder):
        """The npm pack's network would miss a quarter of the genuine pairs at 1e-4: its default is 1e-3."""
        return any(m["id"] == "faceapi_recognition" for m in self.manifest(folder)["models"])

    def calibrate(self, folder):
        return None if self.limit else self.mien(folder, "calibrate", "--fmr", "1e-4", "--images", self.at("lfw", "images"))

    def detection(self, folder, name, make):
        with tempfile.TemporaryDirectory() as made:
            return self.mien(folder, "eval", "detection", "--labels", make(self.at(name), made), "--images", self.at(name), *self.limited())

    def attributes(self, folder, name, *how):
        return self.mien(folder, "eval", "attributes", "--labels", self.at(name, "index.csv"), *how, *self.limited())

    def limited(self):
        return ("--limit", str(self.limit)) if self.limit else ()

    def mien(self, folder, *arguments):
        done = subprocess.run([MIEN, "--models", folder, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode not in (0, 1):
            raise Failed(f"mien {' '.join(arguments[:4])} ...: status {done.returncode}: {done.stderr.decode(errors='replace').strip()[:300]}")
        return json.loads(done.stdout)


# Of each set: the roles that a pack must have, and how it is read.
ATTRIBUTES = {
    "aflw2000_prnet16": (("landmarks",),),
    "utkface_400": (("age_gender",), "--pad", "0.4", "--group", "ethnicity"),
    "emotion_fer2013_900": (("expression",), "--cut"),
    "pad_fullframe_photos": (("spoof",), "--group", "label,attack,confidence"),
    "deepfake_stills_misc": (("deepfake",), "--group", "label,generator"),
}
