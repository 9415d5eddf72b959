#!/usr/bin/python3
"""Fits the weights of mien_liveness_confidence (src/liveness/cues.c) and prints what docs/liveness.md says.

    make build/tests/liveness/run_cues && MIEN_TEST_DATA=DIR tools/liveness/calibrate.py

Live: photos of deepface_pairs and compreface_samples, frames of webcam_videos, every 8th photo of lfw, the live ones of pad_fullframe_photos.
Attacks: those of pad_fullframe_photos (real, each counted 10 times), and drawn over every second live photo: pixel grid, moire, colour stripes of a
screen, halftone, gray copy, cold cast, blur, squeeze. The fit is logistic regression, live photos counted 3 times as much as attacks, weights at
least 0.5 so that the confidence rises with every input.

`held out` is what weights say that were fitted without a fifth of the photos, about that fifth: a live photo and all that is drawn over it, neighbours in
name (often one person, one clip) and all attacks of one fifth of the real frames go together.

The second table is for the issue face_obscured: parts of every second live face painted over.
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
REAL_WEIGHT, LIVE_WEIGHT, LEAST_WEIGHT, RIDGE, LONGEST, LIVE_ABOVE, FOLDS = 10, 3, 0.5, 0.002, 1600, 0.55, 5
COVERS = {  # in parts of the face's box: left, top, right, bottom; blue, green, red
    'dark glasses': (.05, .28, .95, .50, 25, 20, 20), 'mask, light blue': (0, .52, 1, 1.05, 200, 170, 150), 'hand on the mouth': (.2, .6, .8, 1, 120, 150, 195),
    'hand on the eyes': (-.1, .2, 1.1, .55, 120, 150, 195), 'hand, half the face': (.5, -.05, 1.1, 1.05, 120, 150, 195),
    'dark, half the face': (.5, -.05, 1.1, 1.05, 20, 20, 20), 'dark, from the nose down': (-.1, .42, 1.1, 1.1, 60, 40, 40)}


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


def covered(image, d, cover):
    w, h = d['x1'] - d['x0'], d['y1'] - d['y0']
    image = image.copy()
    cv2.rectangle(image, (int(d['x0'] + cover[0] * w), int(d['y0'] + cover[1] * h)), (int(d['x0'] + cover[2] * w), int(d['y0'] + cover[3] * h)), cover[4:], -1)
    return image


def cues(paths, fold=None):
    """Measures of the photos that show a face, in order, as one dictionary each. `fold` of a path; in order of the paths when not given."""
    fold = fold or {p: i * FOLDS // len(paths) for i, p in enumerate(paths)}
    out = []
    for i in range(0, len(paths), 50):
        text = subprocess.run([DRIVER, MODELS, *paths[i:i + 50]], check=True, stdout=subprocess.PIPE).stdout
        out += [dict(d, fold=fold[d['photo']]) for d in map(json.loads, text.splitlines()) if d['faces']]
    return out


def cover_faces(rows, folder):
    """Name of the cover and the measures of faces under it."""
    for name, cover in COVERS.items():
        paths = [f'{folder}/cover_{i}.jpg' for i in range(len(rows))]
        for d, path in zip(rows, paths):
            cv2.imwrite(path, covered(cv2.imread(d['photo']), d, cover))
        yield name, cues(paths)


def gather(data, folder):
    random = np.random.default_rng(1)
    groups = {}
    live = sorted(glob.glob(f'{data}/deepface_pairs/**/*.jpg', recursive=True))[:40]
    live += sorted(glob.glob(f'{data}/compreface_samples/**/*.jpg', recursive=True))[:25] + list(frames(data, folder))
    groups['live photos and frames'] = cues(live)
    groups['live, lfw'] = cues(sorted(glob.glob(f'{data}/lfw/images/*/*.jpg'))[::8])
    drawn, fold = {}, {}
    for i, path in enumerate(live[::2]):
        image = cv2.imread(path)
        scale = min(1, LONGEST / max(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        for name, picture in attacks(image, random):
            drawn.setdefault(name, []).append(f'{folder}/{name.replace(" ", "_")}_{i}.jpg')
            fold[drawn[name][-1]] = 2 * i * FOLDS // len(live)
            cv2.imwrite(drawn[name][-1], np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    for name, paths in drawn.items():
        groups['drawn ' + name] = cues(paths, fold)
    with open(f'{data}/pad_fullframe_photos/index.csv') as f:
        for i, row in enumerate(csv.DictReader(f)):
            path = f'{data}/pad_fullframe_photos/{row["file"]}'
            groups.setdefault('real ' + ('live ' * (row['label'] == 'live') + row['attack']).strip(), []).extend(cues([path], {path: i % FOLDS}))
    return groups


def fit(groups, without=None):
    x, y, weight = [], [], []
    for name, rows in groups.items():
        for d in [d for d in rows if d['fold'] != without]:
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


def confidence(d, weights):
    w, b = weights
    return 1 / (1 + np.exp(-(np.dot([d[k] for k in INPUTS], w) + b)))


def main():
    data = os.environ.get('MIEN_TEST_DATA')
    if not data:
        sys.exit('calibrate: MIEN_TEST_DATA must name the folder of labelled photos')
    with tempfile.TemporaryDirectory() as folder:
        groups = gather(data, folder)
        covers = list(cover_faces(groups['live photos and frames'][::2], folder))
    w, b = fit(groups)
    held_out = [fit(groups, k) for k in range(FOLDS)]
    print('fitted: bias', round(b, 2), {k: round(v, 2) for k, v in zip(INPUTS, w)}, '\n')
    print(f'{"":32}    n   live by confidence > {LIVE_ABOVE}: in force, as fitted, held out   networks >= 0.3   a cue below 0.35')
    for name, rows in groups.items():
        fitted = sum(confidence(d, (w, b)) > LIVE_ABOVE for d in rows)
        unseen = sum(confidence(d, held_out[d['fold']]) > LIVE_ABOVE for d in rows)
        failing = [any(d[k] < .35 for k in INPUTS[1:]) for d in rows]
        print(f'{name:32} {len(rows):4} {sum(d["confidence"] > LIVE_ABOVE for d in rows):30} {fitted:11} {unseen:9}'
              f' {sum(d["antispoof"] >= .3 for d in rows):17} {sum(failing):18}')
    lives = [d for name, rows in groups.items() if 'live' in name for d in rows]
    print(f'\n{"":32}    n   detector < 0.85   presence < 0.5   median detector score')
    for name, rows in [('live, nothing covered', lives)] + covers:
        score, presence = np.array([d['score'] for d in rows]), np.array([d['presence'] for d in rows])
        print(f'{name:32} {len(rows):4} {(score < .85).sum():17} {(presence < .5).sum():16} {np.median(score):23.3f}')
    print(f'\ncues: {np.median([d["ms"] for d in lives]):.1f} ms median, {np.percentile([d["ms"] for d in lives], 99):.1f} ms of 99 in 100')


if __name__ == '__main__':
    main()
