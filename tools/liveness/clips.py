#!/usr/bin/python3
"""Makes the labelled folder of clips for `mien eval liveness` that docs/liveness.md measures on (section "Scores of a live session").

    MIEN_TEST_DATA=DIR tools/liveness/clips.py FOLDER [STILLS] && mien eval liveness FOLDER

live: the clips of webcam_videos, linked. Real attacks, each one photo that the eval shows for as long as a clip: print, screen, mask (pad_fullframe_photos);
"unseen" is a photo of which only its source says that it is an attack. Everything else is drawn, 6 s at 10 frames a second, from one still each: frames of
the clips and photos (STILLS of them, 14 unless told). A drawn sheet moves smoothly, as a hand moves it, and has neither gloss nor moire nor focus:

    still       the same frame again and again, with the camera's noise
    shifted     moved, turned and zoomed in the picture's plane
    turned      turned in space by up to 30 degrees
    bent        a cylinder that bends and unbends, turned a little
    slides      five photos of one person of lfw, a second each
    swapped     the face of a photo warped onto the face of a clip by their meshes: a face swap of the simplest kind (needs run_fusion)
"""
import csv
import glob
import os
import shutil
import sys
import tempfile

import cv2
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import motion  # noqa: E402

FPS, SECONDS = 10, 6
REAL = {'print': 'print', 'print_held': 'print', 'print_cutout': 'print', 'screen': 'screen', 'replay_phone': 'screen', 'mask_on_stick': 'mask',
        'screen_or_print': 'unseen'}


class Path:
    """Stands in for a generator of random numbers: each of a frame's draws wanders smoothly through its range from frame to frame."""
    def __init__(self, seed):
        self.seed = seed

    def at(self, seconds):
        self.random, self.seconds = np.random.default_rng(self.seed), seconds
        return self

    def uniform(self, low, high, n=None):
        f, phase = self.random.uniform(.1, .6, n), self.random.uniform(0, 2 * np.pi, n)
        return low + (high - low) * (.5 + .5 * np.sin(2 * np.pi * f * self.seconds + phase))


def camera(image, random, noise=3.):
    return np.clip(image + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def write(folder, label, name, images):
    path = f'{folder}/{label}/{name}'
    os.makedirs(path)
    for i, image in enumerate(images):
        cv2.imwrite(f'{path}/{i:04}.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 88])


def drawn(image, kind, seed):
    random, path = np.random.default_rng(seed), Path(seed)
    for i in range(FPS * SECONDS):
        path.at(i / FPS)
        picture = image
        if kind == 'shifted':
            picture = motion.moved(image, path)
        elif kind in ('turned', 'bent'):
            picture = motion.before_the_camera(image, kind, path)
        yield camera(picture.astype(np.float32), random)


def frames(file, every):
    capture = cv2.VideoCapture(file)
    step, images = max(1, round(capture.get(cv2.CAP_PROP_FPS) / every)), []
    for k in range(100000):
        good, image = capture.read()
        if not good:
            return images
        if k % step == 0:
            images.append(motion.fitted(image))


def face_swap(clip, photo, folder):
    """The clip's frames with the photo's face inside the hull of their meshes."""
    rows = motion.Sequences(folder)
    rows.put('clip', '', clip)
    rows.put('photo', '', [photo])
    motion.judge(rows, mesh=True)
    if not rows[1]['frames'] or len(rows[0]['frames']) != len(clip):
        return []
    source = points(rows[1]['frames'][0])
    triangles = delaunay(source, photo.shape)
    out = []
    for image, frame in zip(clip, rows[0]['frames']):
        target = points(frame)
        out.append(blended(image, warped(photo, source, target, triangles, image.shape), target))
    return out


def points(frame):
    return np.ascontiguousarray(np.float32(frame['mesh']).reshape(-1, 3)[:468, :2])


def delaunay(points, shape):
    plane = cv2.Subdiv2D((0, 0, shape[1], shape[0]))
    index = {}
    for i, (x, y) in enumerate(points):
        if 0 <= x < shape[1] and 0 <= y < shape[0]:
            plane.insert((float(x), float(y)))
            index[(round(float(x), 2), round(float(y), 2))] = i
    corners = plane.getTriangleList().reshape(-1, 3, 2)
    found = [[index.get((round(float(x), 2), round(float(y), 2))) for x, y in t] for t in corners]
    return [t for t in found if None not in t]


def warped(photo, source, target, triangles, shape):
    """A map from every pixel of the target to the photo, by triangles, and the photo through it."""
    to = np.full((*shape[:2], 2), -1, np.float32)
    for t in triangles:
        a, b = source[t], target[t]
        x0, y0 = np.floor(b.min(0)).astype(int)
        x1, y1 = np.ceil(b.max(0)).astype(int) + 1
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, shape[1]), min(y1, shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(mask, np.int32(np.round(b - [x0, y0])), 1)
        m = cv2.getAffineTransform(np.float32(b), np.float32(a))
        y, x = np.nonzero(mask)
        to[y + y0, x + x0] = np.stack([x + x0, y + y0, np.ones(len(x))], 1) @ m.T
    return cv2.remap(photo, to[..., 0], to[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def blended(image, face, target):
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.int32(cv2.convexHull(target)), 255)
    mask = cv2.erode(mask, np.ones((9, 9), np.uint8))
    x, y, w, h = cv2.boundingRect(mask)
    if x < 1 or y < 1 or x + w >= image.shape[1] or y + h >= image.shape[0]:
        return image
    return cv2.seamlessClone(face, image, mask, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)


def real_attacks(data, folder):
    for row in csv.DictReader(open(f'{data}/pad_fullframe_photos/index.csv')):
        if row['label'] != 'live':
            os.makedirs(f'{folder}/{REAL[row["attack"]]}', exist_ok=True)
            shutil.copy(f'{data}/pad_fullframe_photos/{row["file"]}', f'{folder}/{REAL[row["attack"]]}/')


def swaps(folder, clips, photos):
    for i, path in enumerate(clips):
        with tempfile.TemporaryDirectory() as work:
            images = face_swap(frames(path, FPS)[:FPS * SECONDS], photos[i % len(photos)][1], work)
        if images:
            write(folder, 'swapped', f'{i:02}', images)


def main():
    data = os.environ.get('MIEN_TEST_DATA')
    if not data or len(sys.argv) < 2 or os.path.exists(sys.argv[1]):
        sys.exit('clips: MIEN_TEST_DATA must name the folder of clips and photos, and FOLDER must not exist yet')
    folder, most = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 14
    clips = sorted(glob.glob(f'{data}/webcam_videos/videos/*'))
    os.makedirs(f'{folder}/live')
    for path in clips:
        os.symlink(path, f'{folder}/live/{os.path.basename(path)}')
    real_attacks(data, folder)
    photos = [(p, motion.fitted(cv2.imread(f))) for s, p, f in motion.stills(data) if s == 'photo'][:most // 2]
    stills = [(os.path.basename(p), frames(p, 1)[1]) for p in clips[::len(clips) // (most - len(photos))][:most - len(photos)]] + photos
    for i, (name, image) in enumerate(stills):
        for kind in ('still', 'shifted', 'turned', 'bent'):
            write(folder, kind, f'{i:02}', drawn(image, kind, i))
        print(f'clips: {i + 1} of {len(stills)} stills', file=sys.stderr)
    random = np.random.default_rng(5)
    for i, (name, images) in zip(range(most), motion.slides(data)):
        write(folder, 'slides', f'{i:02}', [camera(images[k // FPS].astype(np.float32), random) for k in range(FPS * len(images))])
    if os.path.exists(motion.DRIVER):
        swaps(folder, clips[:most], photos)


if __name__ == '__main__':
    main()
