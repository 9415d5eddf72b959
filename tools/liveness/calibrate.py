#!/usr/bin/python3
"""Fits the weights of mien_liveness_confidence (src/liveness/cues.c) and prints what docs/liveness.md says.

    make build/tests/liveness/run_cues && MIEN_TEST_DATA=DIR tools/liveness/calibrate.py

Live: photos of deepface_pairs and compreface_samples, frames of webcam_videos, every 8th photo of lfw, the live ones of pad_fullframe_photos. Attacks: those of
pad_fullframe_photos (real, each counted 10 times), and drawn over every second live photo: pixel grid, moire, colour stripes of a screen, halftone, gray copy, cold
cast, blur, squeeze. The fit is logistic regression, live photos counted 3 times as much as attacks, weights at least 0.5 so that the confidence rises with every input.
"""
import csv
import glob
import json
import os
import subprocess
import sys
import tempfile

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(ROOT, os.environ.get('BUILD', 'build'), 'tests/liveness/run_cues')
MODELS = os.environ.get('MIEN_MODELS', os.path.join(ROOT, 'models/local'))
INPUTS = ('antispoof', 'screen_pattern', 'color_distribution', 'face_proportion', 'detection_confidence', 'texture_complexity')
REAL_WEIGHT, LIVE_WEIGHT, LEAST_WEIGHT, RIDGE, LONGEST, LIVE_ABOVE = 10, 3, 0.5, 0.002, 1600, 0.55


def attacks(image, random):
    """Drawn attacks on one photo, as (name, picture)."""
    h, w = image.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    f = image.astype(np.float32)
    a, p = random.uniform(-.15, .15), random.uniform(2.6, 6)
    u, v = x * np.cos(a) + y * np.sin(a), -x * np.sin(a) + y * np.cos(a)
    yield 'pixel grid', f * (1 - .25 * (.5 + .5 * np.cos(2 * np.pi * u / p)) - .15 * (.5 + .5 * np.cos(2 * np.pi * v / p)))[..., None]
    a, p = random.uniform(0, 3.1), random.uniform(4, 14)
    yield 'moire', f * (1 - .08 * np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / p + .4 * np.sin(y / 90)))[..., None]
    yield 'stripes', cv2.GaussianBlur(f * (1 + .3 * np.stack([np.cos(2 * np.pi * (x / 3.3 + k / 3)) for k in range(3)], -1)), (0, 0), .7)
    p = random.uniform(4, 7) * 2 ** .5
    yield 'halftone', f * .85 + 25 * (np.cos(2 * np.pi * (x + y) / p) + np.cos(2 * np.pi * (x - y) / p))[..., None]
    yield 'gray copy', cv2.merge([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)] * 3)
    yield 'cold cast', f * np.array([1.25, 1, .75])
    yield 'blur', cv2.GaussianBlur(f, (0, 0), max(3, w / 120))
    yield 'squeeze', cv2.resize(image, (int(w * .62), h))


def frames(data, folder):
    for video in sorted(glob.glob(f'{data}/webcam_videos/**/*.*', recursive=True)):
        capture = cv2.VideoCapture(video) if video.endswith(('.mp4', '.avi', '.webm', '.mov')) else None
        for k in range(2 if capture else 0):
            capture.set(cv2.CAP_PROP_POS_FRAMES, 20 + 60 * k)
            good, image = capture.read()
            if good:
                path = f'{folder}/frame_{os.path.basename(video)}_{k}.png'
                cv2.imwrite(path, image)
                yield path


def cues(paths):
    """Measures of the photos that show a face, in order, as one dictionary each."""
    out = []
    for i in range(0, len(paths), 50):
        text = subprocess.run([DRIVER, MODELS, *paths[i:i + 50]], check=True, stdout=subprocess.PIPE).stdout
        out += [d for d in map(json.loads, text.splitlines()) if d['faces']]
    return out


def gather(data, folder):
    random = np.random.default_rng(1)
    groups = {}
    live = sorted(glob.glob(f'{data}/deepface_pairs/**/*.jpg', recursive=True))[:40]
    live += sorted(glob.glob(f'{data}/compreface_samples/**/*.jpg', recursive=True))[:25] + list(frames(data, folder))
    groups['live photos and frames'] = cues(live)
    groups['live, lfw'] = cues(sorted(glob.glob(f'{data}/lfw/images/*/*.jpg'))[::8])
    drawn = {}
    for i, path in enumerate(live[::2]):
        image = cv2.imread(path)
        scale = min(1, LONGEST / max(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        for name, picture in attacks(image, random):
            drawn.setdefault(name, []).append(f'{folder}/{name.replace(" ", "_")}_{i}.jpg')
            cv2.imwrite(drawn[name][-1], np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    for name, paths in drawn.items():
        groups['drawn ' + name] = cues(paths)
    with open(f'{data}/pad_fullframe_photos/index.csv') as f:
        for row in csv.DictReader(f):
            groups.setdefault('real ' + ('live ' * (row['label'] == 'live') + row['attack']).strip(), []).extend(cues([f'{data}/pad_fullframe_photos/{row["file"]}']))
    return groups


def fit(groups):
    x, y, weight = [], [], []
    for name, rows in groups.items():
        for d in rows:
            x.append([d[k] for k in INPUTS])
            y.append('live' in name)
            weight.append(REAL_WEIGHT if name.startswith('real') else 1)
    x, y, weight = np.array(x), np.array(y, float), np.array(weight, float)
    for side in (0, 1):
        weight[y == side] *= (LIVE_WEIGHT if side else 1) / weight[y == side].sum()
    w, b = np.ones(len(INPUTS)), 0.0
    for _ in range(100000):
        g = weight * (1 / (1 + np.exp(-(x @ w + b))) - y)
        w = np.maximum(w - 0.5 * (x.T @ g + RIDGE * w), LEAST_WEIGHT)
        b -= 0.5 * g.sum()
    return w, b


def main():
    data = os.environ.get('MIEN_TEST_DATA')
    if not data:
        sys.exit('calibrate: MIEN_TEST_DATA must name the folder of labelled photos')
    with tempfile.TemporaryDirectory() as folder:
        groups = gather(data, folder)
    w, b = fit(groups)
    print('fitted: bias', round(b, 2), {k: round(v, 2) for k, v in zip(INPUTS, w)}, '\n')
    print(f'{"":32}    n   live by confidence > {LIVE_ABOVE}: in force, as fitted   networks >= 0.3   a cue below 0.35')
    for name, rows in groups.items():
        fitted = [1 / (1 + np.exp(-(np.dot([d[k] for k in INPUTS], w) + b))) for d in rows]
        failing = [any(d[k] < .35 for k in INPUTS[1:]) for d in rows]
        print(f'{name:32} {len(rows):4} {sum(d["confidence"] > LIVE_ABOVE for d in rows):30} {sum(c > LIVE_ABOVE for c in fitted):11}'
              f' {sum(d["antispoof"] >= .3 for d in rows):17} {sum(failing):18}')


if __name__ == '__main__':
    main()
