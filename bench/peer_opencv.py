#!/usr/bin/python3
"""OpenCV's DNN module as a peer, one thread. The same requests as peer_ort.js, networks only; and {"photo": ...} makes the test photos.

{"net": file, "shapes": [[...]], "seconds": s}                         -> {"ms": [...]}
{"photo": in.jpg, "region": [x0, y0, x1, y1], "width": w, "jpeg": out, "bmp": out, "pixels": out}   -> {"width": w, "height": h}
"""
import json
import sys
import time

import cv2
import numpy as np

nets = {}


def noise(shape):
    return (np.random.default_rng(12345).random(shape, dtype=np.float32) * 2 - 1)


def time_net(request):
    if len(request['shapes']) != 1:
        return {'error': 'several inputs'}
    if request['net'] not in nets:
        nets[request['net']] = cv2.dnn.readNetFromONNX(request['net'])
    net = nets[request['net']]
    x = noise(request['shapes'][0])
    names = net.getUnconnectedOutLayersNames()
    ms = []
    for i in range(2000):
        net.setInput(x)
        start = time.perf_counter()
        net.forward(names)
        ms.append((time.perf_counter() - start) * 1e3)
        if i == 1:
            ms, begin = [], time.perf_counter()
        elif i > 6 and time.perf_counter() - begin > request['seconds']:
            break
    return {'ms': ms}


def make_photo(request):
    """A region of the photo resized to `width`, as JPEG, as BMP and as raw RGB."""
    image = cv2.imread(request['photo'])
    if image is None:
        return {'error': f'{request["photo"]}: not readable'}
    x0, y0, x1, y1 = request['region']
    image, width = image[y0:y1, x0:x1], request['width']
    image = cv2.resize(image, (width, round(image.shape[0] * width / image.shape[1])), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(request['jpeg'], image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    cv2.imwrite(request['bmp'], image)
    with open(request['pixels'], 'wb') as f:
        f.write(image[:, :, ::-1].tobytes())
    return {'width': image.shape[1], 'height': image.shape[0]}


def main():
    cv2.setNumThreads(1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = make_photo(request) if 'photo' in request else time_net(request)
        except (cv2.error, OSError) as e:
            answer = {'error': ' '.join(str(e).split())[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
