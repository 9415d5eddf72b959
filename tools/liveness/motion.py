#!/usr/bin/python3
"""Measures motion, blink and depth of the fusion engine, live clips against stills that are moved, turned, bent: what docs/liveness.md says under
"Fusion engine".

    make build/tests/liveness/run_fusion && MIEN_TEST_DATA=DIR tools/liveness/motion.py [KEEP_DIR]

Live: windows of 5 frames, 4 a second, of webcam_videos; every clip is one person. Attacks: stills of as many persons (one frame of each clip, photos of
deepface_pairs, lfw and the live ones of pad_fullframe_photos), 5 frames each, drawn by a camera before a sheet that shows the still:

    same        the same file 5 times
    encoded     JPEG quality 50-95, brightness, contrast, noise
    shifted     moved and zoomed in the image plane, and encoded
    turned      the sheet turned by up to 30 degrees about every axis, moved, nearer and farther
    bent        a cylinder about any axis, bend changing from frame to frame, turned and moved
    dished      a bend in two directions (dome or saddle), turned and moved
    waved       one wave of the sheet across the face, turned and moved: more than paper does
    dark        shifted, under strong noise and blur
    eyes cut    turned, with the eyes of the person's other frames in the holes: blinks and gaze are live (clips only)
    replayed    a clip on a screen at a slant
    slides      different photos of one person, lfw

Single photos: lfw, frames of the clips, the real attacks of pad_fullframe_photos.

With KEEP_DIR everything that was measured, with the meshes, is kept there as sequences.json, for trying other measures.
"""
import csv
import glob
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(ROOT, os.environ.get('BUILD', 'build'), 'tests/liveness/run_fusion')
MODELS = os.environ.get('MIEN_MODELS', os.path.join(ROOT, 'models/local'))
FRAMES, FPS, LONGEST = 5, 4, 720
SHEETS = {'turned': (0, 0), 'bent': (1, 0), 'dished': (1, 1), 'waved': (0, 0)}


def rotation(angles):
    return cv2.Rodrigues(np.array([angles[0], 0., 0.]))[0] @ cv2.Rodrigues(np.array([0., angles[1], 0.]))[0] @ cv2.Rodrigues(np.array([0., 0., angles[2]]))[0]


def sheet(image, turn, move, height, arc):
    """The picture of a sheet whose surface is z = height(x, y) in its own frame, x and y in half widths; `arc` gives the place on the paper. The camera's
    focal length is the picture's width, the sheet lies as far away as fills the picture."""
    h, w = image.shape[:2]
    v, u = np.mgrid[0:h, 0:w].astype(np.float64)
    rays = np.stack([(u - w / 2) / (w / 2), (v - h / 2) / (w / 2), np.full_like(u, 2.0)], -1)
    r = rotation(turn)
    origin = r.T @ -(np.array([0., 0., 2.]) + move)
    rays = rays @ r
    z = np.zeros_like(u)
    for _ in range(12):
        t = (z - origin[2]) / rays[..., 2]
        x, y = origin[0] + t * rays[..., 0], origin[1] + t * rays[..., 1]
        z = .5 * z + .5 * height(np.clip(x, -1.5, 1.5), np.clip(y, -1.5, 1.5))
    x, y = arc(np.clip(x, -1.5, 1.5), np.clip(y, -1.5, 1.5))
    return cv2.remap(image, (x * w / 2 + w / 2).astype(np.float32), (y * w / 2 + h / 2).astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def surface(kind, random):
    a = random.uniform(0, np.pi)
    c, s = np.cos(a), np.sin(a)
    bend, cross = random.uniform(-.8, .8), random.uniform(-.5, .5)
    phase, depth = random.uniform(0, 6.28), random.uniform(-.06, .06)

    def height(x, y):
        along = c * x + s * y
        if kind == 'waved':
            return depth * np.sin(2 * np.pi * along + phase)
        return (kind in ('bent', 'dished')) * bend * along * along / 2 + (kind == 'dished') * cross * (c * y - s * x) ** 2 / 2

    def arc(x, y):
        if kind != 'bent' or abs(bend) < 1e-6:
            return x, y
        along, across, k = c * x + s * y, c * y - s * x, abs(bend)
        along = .5 * (along * np.sqrt(1 + k * k * along * along) + np.arcsinh(k * along) / k)
        return c * along - s * across, s * along + c * across
    return height, arc


def encoded(image, random, noise=4.):
    f = image.astype(np.float32) * random.uniform(.8, 1.2) + random.uniform(-15, 15) + random.normal(0, random.uniform(0, noise), image.shape)
    return cv2.imdecode(cv2.imencode('.jpg', np.clip(f, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(50, 96))])[1], cv2.IMREAD_COLOR)


def moved(image, random):
    h, w = image.shape[:2]
    m = cv2.getRotationMatrix2D((w / 2, h / 2), random.uniform(-8, 8), random.uniform(.85, 1.2))
    m[:, 2] += random.uniform(-.06, .06, 2) * w
    return cv2.warpAffine(image, m, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def before_the_camera(image, kind, random):
    turn = random.uniform(-.52, .52, 3) * [1, 1, .5]
    height, arc = surface(kind, random)
    return sheet(image, turn, random.uniform(-1, 1, 3) * [.1, .1, .3], height, arc)


def attack(image, kind, random):
    if kind == 'same':
        return [image] * FRAMES
    if kind == 'encoded':
        return [encoded(image, random) for _ in range(FRAMES)]
    if kind == 'shifted':
        return [encoded(moved(image, random), random) for _ in range(FRAMES)]
    if kind == 'dark':
        return [encoded(cv2.GaussianBlur(moved(image, random), (0, 0), random.uniform(.5, 2.5)) * .6, random, 20.) for _ in range(FRAMES)]
    return [encoded(before_the_camera(image, kind, random), random) for _ in range(FRAMES)]


def eyes_cut(image, points, others, random):
    """The still with the eyes of other frames of the same clip in its holes, then turned."""
    h, w = image.shape[:2]
    d = np.hypot(points[2] - points[0], points[3] - points[1])
    out = []
    for other, there in others:
        picture = image.copy()
        for k in (0, 2):
            (x, y), (ox, oy), a, b = np.array(points[k:k + 2]), np.array(there[k:k + 2]), .32 * d, .18 * d
            m = np.float32([[1, 0, x - ox], [0, 1, y - oy]])
            mask = np.zeros((h, w), np.uint8)
            cv2.ellipse(mask, (int(x), int(y)), (int(a), int(b)), 0, 0, 360, 255, -1)
            picture = np.where(mask[..., None] > 0, cv2.warpAffine(other, m, (w, h)), picture)
        out.append(encoded(before_the_camera(picture, 'turned', random), random))
    return out


def clips(data):
    for row in csv.DictReader(open(f'{data}/webcam_videos/index.csv')):
        capture = cv2.VideoCapture(f'{data}/webcam_videos/{row["file"]}')
        top, bottom = row['fps'].split('/')
        step, images = max(1, round(float(top) / float(bottom) / FPS)), []
        for k in range(100000):
            good, image = capture.read()
            if not good:
                break
            if k % step == 0:
                images.append(fitted(image))
        yield os.path.basename(row['file']), images


def fitted(image):
    scale = min(1, LONGEST / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) if max(image.shape[:2]) < 400 else image


def stills(data):
    """(set, person, picture) of photos that are not from clips."""
    seen = set()
    for row in csv.DictReader(open(f'{data}/deepface_pairs/index.csv')):
        if row['identity'] not in seen:
            seen.add(row['identity'])
            yield 'photo', row['identity'], f'{data}/deepface_pairs/{row["file"]}'
    for row in csv.DictReader(open(f'{data}/pad_fullframe_photos/index.csv')):
        if row['label'] == 'live':
            yield 'photo', row['file'], f'{data}/pad_fullframe_photos/{row["file"]}'
    for path in sorted(glob.glob(f'{data}/lfw/images/*/*.jpg'))[::50]:
        yield 'lfw', os.path.basename(os.path.dirname(path)), path


def slides(data):
    """Persons of lfw with several photos, and those."""
    for folder in sorted(glob.glob(f'{data}/lfw/images/*')):
        files = sorted(glob.glob(f'{folder}/*.jpg'))
        if len(files) >= FRAMES:
            yield os.path.basename(folder), [fitted(cv2.imread(f)) for f in files[:FRAMES]]


class Sequences(list):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def put(self, group, person, pictures, source=''):
        files = [f'{self.folder}/{len(self)}_{i}.png' for i in range(len(pictures))]
        for file, picture in zip(files, pictures):
            cv2.imwrite(file, picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self.append({'group': group, 'person': person, 'source': source, 'files': files})


def gather(data, folder):
    random, out = np.random.default_rng(4), Sequences(folder)
    sources = [(s, p, fitted(cv2.imread(f))) for s, p, f in stills(data)]
    for name, images in clips(data):
        for k in range(0, len(images) - FRAMES + 1, FRAMES):
            out.put('live', name, images[k:k + FRAMES])
        for k in range(0, len(images) - 2, 3):
            out.put('live, 3 frames', name, images[k:k + 3])
        out.put('live, whole clip', name, images[:20])
        sources += [('clip', name, images[k]) for k in (len(images) // 3, 2 * len(images) // 3)]
    lives = [d for d in out if d['group'] == 'live']
    judge(lives)
    for d in lives:
        images = [cv2.imread(f) for f in d['files']]
        out.put('replayed video', d['person'], replayed(images, random))
        if len(d['frames']) == FRAMES:
            others = [(i, f['point']) for i, f in zip(images, d['frames'])]
            out.put('eyes cut out', d['person'], eyes_cut(images[0], d['frames'][0]['point'], others, random))
    for source, person, image in sources:
        for kind in ('same', 'encoded', 'shifted', 'dark', *SHEETS):
            out.put(kind, person, attack(image, kind, random), source)
    for person, images in slides(data):
        out.put('slides', person, images, 'lfw')
    for row in csv.DictReader(open(f'{data}/pad_fullframe_photos/index.csv')):
        if row['label'] != 'live':
            out.put('real attack, one photo', row['file'], [cv2.imread(f'{data}/pad_fullframe_photos/{row["file"]}')])
    for path in sorted(glob.glob(f'{data}/lfw/images/*/*.jpg'))[::8]:
        out.put('live, one photo, lfw', os.path.basename(os.path.dirname(path)), [cv2.imread(path)])
    return out


def replayed(images, random):
    """A screen that plays the clip: held still, seen at a slant."""
    turn, move = random.uniform(-.3, .3, 3) * [1, 1, .3], random.uniform(-.05, .05, 3)
    return [encoded(sheet(image, turn, move, lambda x, y: 0 * x, lambda x, y: (x, y)), random) for image in images]


def judge(sequences, mesh=False):
    def part(rows):
        text = ''.join('\t'.join(d['files']) + '\n' for d in rows)
        done = subprocess.run([DRIVER, MODELS] + ['--mesh'] * mesh, input=text.encode(), check=True, stdout=subprocess.PIPE).stdout
        for d, line in zip(rows, done.splitlines()):
            d.update(json.loads(line))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(part, [sequences[k::2] for k in (0, 1)]))


def last(d, key):
    return d['frames'][-1].get(key, 0) if d['frames'] else 0


def report(sequences):
    groups = {}
    for d in sequences:
        groups.setdefault(d['group'], []).append(d)
    print(f'{"":24}    n  persons   motion >= 0.5: n, persons   median   blink: half, whole   liveness of the last frame >= 0.5, >= 0.4')
    for name, rows in groups.items():
        motion, passing = np.array([last(d, 'motion') for d in rows]), [d for d in rows if last(d, 'motion') >= .5]
        blink, live = np.array([last(d, 'blink') for d in rows]), np.array([last(d, 'live') for d in rows])
        print(f'{name:24} {len(rows):4} {len({d["person"] for d in rows}):8} {len(passing):17} {len({d["person"] for d in passing}):9} {np.median(motion):8.3f}'
              f' {(blink == .5).sum():11} {(blink == 1).sum():7} {(live >= .5).sum():22} {(live >= .4).sum():8}')
    print(f'\n{"first frame alone":24}    n   liveness >= 0.5   >= 0.4   networks >= 0.5   >= 0.3   texture >= 0.35   median liveness')
    for name in ('live', 'live, one photo, lfw', 'same', 'real attack, one photo', 'shifted', 'turned', 'replayed video'):
        rows = [d['frames'][0] for d in groups[name] if d['frames']]
        v = {k: np.array([f[k] for f in rows]) for k in ('live', 'antispoof', 'texture')}
        print(f'{name:24} {len(rows):4} {(v["live"] >= .5).sum():17} {(v["live"] >= .4).sum():8} {(v["antispoof"] >= .5).sum():17}'
              f' {(v["antispoof"] >= .3).sum():8} {(v["texture"] >= .35).sum():17} {np.median(v["live"]):17.3f}')
    print(f'\n{"depth from the mesh":24}    n   at 1 %   median   at 99 %')
    for name in ('live', 'live, one photo, lfw', 'same', 'turned', 'bent'):
        v = [f['depth'] for d in groups[name] for f in d['frames'] if 'depth' in f]
        print(f'{name:24} {len(v):4} {np.percentile(v, 1):8.3f} {np.median(v):8.3f} {np.percentile(v, 99):9.3f}')
    print('\nmotion >= 0.5 of the attacks by where the still comes from:')
    for source in ('clip', 'photo', 'lfw'):
        rows = [d for d in sequences if d['source'] == source and d['group'] != 'slides']
        print(f'{source:24} {len(rows):4} {sum(last(d, "motion") >= .5 for d in rows):4}')
    print(f'\nall 20 frames of a clip judged one after the other: {np.median([d["ms"] for d in groups["live, whole clip"]]):.1f} ms')


def main():
    data = os.environ.get('MIEN_TEST_DATA')
    if not data:
        sys.exit('motion: MIEN_TEST_DATA must name the folder of labelled photos and clips')
    keep = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        sequences = gather(data, folder)
        judge(sequences, keep is not None)
    report(sequences)
    if keep:
        json.dump(sequences, open(f'{keep}/sequences.json', 'w'))


if __name__ == '__main__':
    main()
