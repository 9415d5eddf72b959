"""What may not be in the repository: weights, photos, big files, and paths of one machine."""
import os
import re

from tree import ROOT, data, files, is_text

WEIGHTS = ('.onnx', '.ort', '.pb', '.tflite', '.h5', '.hdf5', '.pt', '.pth', '.safetensors', '.espdl', '.caffemodel', '.weights', '.npy', '.npz', '.bin', '.param')
PHOTOS = ('.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.heic', '.avif', '.mp4', '.webm', '.mov')
CORPUS = ('fuzz/corpus/', 'tests/')  # generated inputs of the parsers live here
CORPUS_BYTES, MOST_BYTES = 16 << 10, 512 << 10
# Home folders and work folders by absolute path. A temporary folder is fine when mkdtemp completes its name.
MACHINE = re.compile(r'(?<![\w./$}>-])/(?:work|root|home|mnt|media|Users)/\w|(?<![\w./$}>-])/tmp/(?!\S*XXXXXX)\w')


def weights_and_photos():
    bad = []
    for path in files():
        size = os.path.getsize(os.path.join(ROOT, path))
        generated = path.startswith(CORPUS) and size <= CORPUS_BYTES
        if path.lower().endswith(WEIGHTS + PHOTOS) and not generated:
            bad.append(f'{path}: weights and photos are not committed')
        elif size > MOST_BYTES:
            bad.append(f'{path}: {size} bytes, more than {MOST_BYTES}')
    return bad


def machine_paths():
    bad = []
    for path in files():
        if path.endswith('package-lock.json') or path.startswith('fuzz/corpus/') or not is_text(path):
            continue
        for number, line in enumerate(data(path).decode('utf-8', errors='replace').split('\n'), 1):
            m = MACHINE.search(line)
            if m:
                bad.append(f'{path}:{number}: path of one machine: {line.strip()[:100]}')
    return bad
