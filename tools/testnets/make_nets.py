#!/usr/bin/python3
"""Writes ONNX files with the structure of face networks beyond those we ship, and random weights.

usage: make_nets.py [--small] [--only NAME,...] FOLDER

For tests (against ONNX Runtime) and benchmarks. --small divides widths and depths: quick, the same operators. The same call writes the
same bytes. FOLDER/nets.json lists the files: [{"name", "file", "shapes": [[input shape, ...], ...], "embedding": true|false}, ...].
Needs Debian's python3-numpy and python3-onnx.
"""
import argparse
import json
import os
import sys

import faces
import operators
from builder import Net

# name: (function, opset, output is an embedding, to be compared by its direction)
NETS = {
    'iresnet50': (faces.iresnet, 11, True),
    'scrfd_10g': (faces.scrfd, 11, False),
    'retinaface_mobile': (faces.retinaface_mobile, 11, False),
    'retinaface_resnet50': (faces.retinaface_resnet, 13, False),
    'inception_resnet_v1': (faces.inception_resnet, 11, True),
    'deeppixbis': (faces.deeppixbis, 12, False),
    'mobilenet_v3': (faces.mobilenet_v3, 14, False),
    'mobilenet_v3_opset11': (faces.mobilenet_v3, 11, False),
    'landmark106': (faces.landmark106, 11, False),
    'genderage': (faces.genderage, 11, False),
    'pools': (operators.pools, 13, False),
    'upsample9': (operators.upsample9, 9, False),
    'resizes': (operators.resizes, 11, False),
    'resizes_opset13': (operators.resizes, 13, False),
    'norms': (operators.norms, 13, False),
    'group_norms': (operators.group_norms, 13, False),
    'attention': (operators.attention, 13, False),
    'shuffles': (operators.shuffles, 13, False),
    'arithmetic': (operators.arithmetic, 13, False),
    'rare': (operators.rare, 13, False),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--small', action='store_true', help='reduced widths and depths')
    parser.add_argument('--only', help='names, separated by commas')
    parser.add_argument('folder')
    args = parser.parse_args()
    only = args.only.split(',') if args.only else list(NETS)
    for name in only:
        if name not in NETS:
            sys.exit(f'make_nets.py: no net {name}; there are {", ".join(NETS)}')
    os.makedirs(args.folder, exist_ok=True)
    listed = []
    for name in only:
        make, opset, embedding = NETS[name]
        net = Net(name, opset)
        shapes = make(net, args.small)
        net.save(os.path.join(args.folder, name + '.onnx'))
        listed.append({'name': name, 'file': name + '.onnx', 'shapes': shapes, 'embedding': embedding})
    with open(os.path.join(args.folder, 'nets.json'), 'w', encoding='ascii') as f:
        json.dump(listed, f, indent=1)
        f.write('\n')


if __name__ == '__main__':
    main()
