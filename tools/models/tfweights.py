"""Weights of TensorFlow.js: a JSON manifest (name, shape, dtype, quantisation) beside one binary file.

https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/io_utils.ts (decodeWeights): tensors lie one after another,
uint8 and uint16 quantisation is value = q * scale + min computed in double and stored as float32, float16 is widened.
"""

import numpy as np

STORED = {"float16": np.float16, "uint8": np.uint8, "uint16": np.uint16}
PLAIN = {"float32": np.float32, "int32": np.int32, "bool": np.uint8}


def read(manifest, data):
    """`manifest`: the JSON list of groups. Returns name -> array (float32 or int32)."""
    weights, offset = {}, 0
    for group in manifest:
        for spec in group["weights"]:
            quantisation = spec.get("quantization")
            dtype = np.dtype((STORED[quantisation["dtype"]] if quantisation else PLAIN[spec["dtype"]])).newbyteorder("<")
            count = int(np.prod(spec["shape"], dtype=np.int64))
            if offset + count * dtype.itemsize > len(data):
                raise ValueError(f"weights end before {spec['name']}")
            values = np.frombuffer(data, dtype, count, offset)
            offset += count * dtype.itemsize
            weights[spec["name"]] = decoded(values, spec, quantisation).reshape(spec["shape"])
    if offset != len(data):
        raise ValueError(f"weights file has {len(data)} bytes, the manifest describes {offset}")
    return weights


def decoded(values, spec, quantisation):
    if quantisation and quantisation["dtype"] != "float16":
        real = values.astype(np.float64) * quantisation["scale"] + quantisation["min"]
        return np.round(real).astype(np.int32) if spec["dtype"] == "int32" else real.astype(np.float32)
    return values.astype(np.float32) if spec["dtype"] == "float32" else values
