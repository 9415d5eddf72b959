#!/usr/bin/python3
"""Measures depth score and descriptor of the fusion engine on drawn depth maps: what docs/liveness.md says under "Depth".

    MIEN_TEST_DATA=DIR tools/liveness/motion.py KEEP_DIR && make build/tests/liveness/run_depth && tools/liveness/depth.py KEEP_DIR

There is no sensor's data: faces are the network's meshes of the clips and of lfw (sequences.json of motion.py), made into maps of 320 x 240 at 350 to
700 mm with a sensor's noise, quantised to millimetres, 3 % holes, background at 1.5 m. Sheets have the same noise and stand at a slant: flat, bent about
any axis (up to a radius of 60 mm), dished.
"""
import json
import os
import subprocess
import sys

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(ROOT, os.environ.get('BUILD', 'build'), 'tests/liveness/run_depth')
W, H, EYES_MM, BACKGROUND = 320, 240, 63, 1500
GROUPS = {'live': 2, 'slides': 1}  # and every which frame


def finished(mm, noise, random):
    """Noise, holes, whole millimetres."""
    mm = np.round(mm + random.normal(0, noise, mm.shape))
    mm[cv2.resize((random.uniform(size=(H // 4, W // 4)) < .03).astype(np.uint8), (W, H), interpolation=cv2.INTER_NEAREST) > 0] = 0
    return mm.astype(np.uint16)


def of_mesh(frame, random):
    """Five points and a map without noise, the face in the middle at a distance that its size fits."""
    mesh, point = np.array(frame['mesh']).reshape(-1, 3)[:468], np.array(frame['point']).reshape(5, 2)
    eyes = np.hypot(*(point[1] - point[0]))
    distance = random.uniform(350, 700)
    pixels = 280 * EYES_MM / distance  # focal length 280 pixels: a view of 60 degrees
    middle = point.mean(0)
    x, y = ((mesh[:, :2] - middle) * pixels / eyes + [W / 2, H / 2]).T
    near = np.zeros((H, W), np.float32)
    count = np.zeros((H, W), np.float32)
    good = (x >= 0) & (x < W - 1) & (y >= 0) & (y < H - 1)
    np.add.at(near, (y[good].astype(int), x[good].astype(int)), (mesh[good, 2] * EYES_MM / eyes).astype(np.float32))
    np.add.at(count, (y[good].astype(int), x[good].astype(int)), 1)
    near, count = (cv2.GaussianBlur(v, (0, 0), .07 * pixels) for v in (near, count))
    hull = np.zeros((H, W), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.stack([x, y], -1).astype(np.int32)), 1)
    mm = np.where(hull > 0, distance + near / np.maximum(count, 1e-9), BACKGROUND)
    return (point - middle) * pixels / eyes + [W / 2, H / 2], mm


def of_sheet(point, kind, random):
    y, x = np.mgrid[0:H, 0:W]
    eyes = np.hypot(*(point[1] - point[0]))
    x, y = (x - W / 2) * EYES_MM / eyes, (y - H / 2) * EYES_MM / eyes
    a = random.uniform(0, np.pi)
    along, across = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    radius = random.uniform(60, 300) * random.choice([-1, 1])
    mm = random.uniform(350, 700) + x * random.uniform(-.5, .5) + y * random.uniform(-.5, .5)
    if kind != 'flat':
        mm = mm + np.sign(radius) * (np.sqrt(np.maximum(radius ** 2 - along ** 2, 0)) - abs(radius))
    if kind == 'dished':
        mm = mm + across ** 2 / (2 * random.uniform(100, 400) * random.choice([-1, 1]))
    return np.clip(mm, 100, 5000)


def judge(maps):
    data = b''.join(np.array([W, H], np.int32).tobytes() + point.astype(np.float32).tobytes() + mm.tobytes() for point, mm in maps)
    return [json.loads(line) for line in subprocess.run([DRIVER], input=data, check=True, stdout=subprocess.PIPE).stdout.splitlines()]


def separation(rows):
    people, x = np.array([p for p, d in rows if d['descriptor']]), np.array([d['descriptor'] for _, d in rows if d['descriptor']])
    cosine, same = x @ x.T, people[:, None] == people
    upper = np.triu_indices(len(people), 1)
    s, d = cosine[upper][same[upper]], cosine[upper][~same[upper]]
    rate, at = min((max((s < t).mean(), (d >= t).mean()), t) for t in np.quantile(np.r_[s, d], np.linspace(0, 1, 400)))
    return (f'{len(people):5} {len(set(people)):5} {len(s):7} {len(d):7}   {np.percentile(s, 5):.3f} {np.median(s):.3f}   {np.median(d):.3f} {np.percentile(d, 95):.3f}'
            f'   {100 * rate:.0f} % at {at:.3f}')


def main():
    if len(sys.argv) != 2:
        sys.exit('usage: depth.py KEEP_DIR (made by motion.py)')
    random = np.random.default_rng(5)
    frames = [(d['group'], d['person'], f) for d in json.load(open(f'{sys.argv[1]}/sequences.json')) if d['group'] in GROUPS for f in d['frames'][::GROUPS[d['group']]]]
    faces = [(group, person, *of_mesh(f, random)) for group, person, f in frames]
    print('score, by noise (standard deviation)      n   unknown   at 1 %   at 5 %   median   at 95 %   at 99 %   >= 0.5')
    for noise in (1.5, 5):
        sets = {'face': judge([(p, finished(mm, noise, random)) for _, _, p, mm in faces])}
        for kind in ('flat', 'bent', 'dished'):
            sets[kind] = judge([(p, finished(of_sheet(p, kind, random), noise, random)) for _, _, p, _ in faces])
        for name, rows in sets.items():
            v = np.array([d['score'] for d in rows])
            known = v[v >= 0]
            print(f'{name:10} {noise:4} mm {len(v):25} {(v < 0).sum():9} ' + ' '.join(f'{np.percentile(known, q):8.3f}' for q in (1, 5, 50, 95, 99)) + f' {(known >= .5).sum():8}')
        for group in GROUPS:
            rows = [(person, d) for (g, person, _, _), d in zip(faces, sets['face']) if g == group]
            print(f'descriptor, {group}, {noise} mm: n, persons, same, different; same at 5 %, median; different median, at 95 %; equal error')
            print('   ', separation(rows))


if __name__ == '__main__':
    main()
