"""Published ONNX files made independent of batch and, detectors, of picture size.

Exporters write the shapes they saw into a graph, or compute them with chains of Shape, Gather and Concat. YuNet and SCRFD need
none of it: features are doubled by nearest neighbour, and every output is its cells in rows of C numbers. A classifier
has its batch only in the declared shapes and in constants that its Reshapes take.
"""

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from onnxbuild import OPSET, serialised

CHANNELS = {"cls": 1, "obj": 1, "score": 1, "bbox": 4, "kps": 10}
SCRFD_OUTPUTS = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in (8, 16, 32)]  # the order of its exporter
# These mean the same in opsets 11 and 13, so the version may simply be raised.
SAME_SINCE_11 = {"Conv", "Relu", "MaxPool", "AveragePool", "Resize", "Add", "Mul", "Transpose", "Reshape", "Sigmoid"}
# And these in opsets 9 and 13.
SAME_SINCE_9 = {"Conv", "PRelu", "Relu", "Sigmoid", "Add", "Mul", "MatMul", "Reshape", "GlobalAveragePool", "BatchNormalization"}


def set_dims(info, dims):
    shape = info.type.tensor_type.shape
    del shape.dim[:]
    for dim in dims:
        shape.dim.add(**({"dim_param": dim} if isinstance(dim, str) else {"dim_value": dim}))


def constant(graph, name, values, dtype):
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
    return name


def double_by_nearest(graph):
    """Every Resize as exactly x2, whatever size its exporter computed."""
    for node in graph.node:
        if node.op_type != "Resize":
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if attributes.get("mode", b"nearest") != b"nearest" or attributes.get("coordinate_transformation_mode") != b"asymmetric":
            raise ValueError(f"{node.name} is not the nearest-neighbour doubling that was expected: {attributes}")
        node.input[:] = [node.input[0], "", constant(graph, node.output[0] + "_scales", [1, 1, 2, 2], np.float32)]
        del node.attribute[:]
        node.attribute.extend([helper.make_attribute("mode", "nearest"), helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
                               helper.make_attribute("nearest_mode", "floor")])


def remove_dead(graph):
    """Nodes and constants that no output needs."""
    needed, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.insert(0, node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(kept)
    constants = [c for c in graph.initializer if c.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    inputs = [i for i in graph.input if i.name not in {c.name for c in constants}]
    del graph.input[:]
    graph.input.extend(inputs)


def rename(graph, names):
    """Inputs and outputs by `names` (old -> new); an inner tensor that has a new name already steps aside."""
    taken = set(names.values()) - set(names)
    new = {**{name: name + "_inner" for name in taken}, **names}
    for node in graph.node:
        node.input[:] = [new.get(i, i) for i in node.input]
        node.output[:] = [new.get(o, o) for o in node.output]
    for info in [*graph.input, *graph.output, *graph.initializer]:
        info.name = new.get(info.name, info.name)


def raise_opset(model, unchanged):
    """Declares opset 13 for a graph whose operations have meant the same since its own opset."""
    others = {node.op_type for node in model.graph.node} - unchanged
    if others:
        raise ValueError(f"operations that were not expected: {', '.join(sorted(others))}")
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))


def parsed(data):
    """The model of an ONNX file; ValueError when it is none."""
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as problem:
        raise ValueError(f"not an ONNX file: {problem}") from problem
    return model


def detector(data, output_names=None):
    """A YuNet or SCRFD export with N x 3 x H x W input and outputs N x cells x C named kind_stride."""
    model = parsed(data)
    graph = model.graph
    del graph.value_info[:]
    double_by_nearest(graph)
    producers = {o: node for node in graph.node for o in node.output}
    old_names = [o.name for o in graph.output]
    new_names = output_names or old_names
    for old, new, info in zip(old_names, new_names, graph.output):
        kind, stride = new.split("_")
        node = producers[old]
        while node.op_type != "Reshape":
            node = producers[node.input[0]]
        node.input[1] = constant(graph, f"rows_{new}", [0, -1, CHANNELS[kind]], np.int64)
        producers[node.input[0]].attribute[0].CopyFrom(helper.make_attribute("perm", [0, 2, 3, 1]))
        set_dims(info, ["N", f"A_{stride}", CHANNELS[kind]])
    remove_dead(graph)
    rename(graph, {**dict(zip(old_names, new_names)), graph.input[0].name: "input"})
    set_dims(graph.input[0], ["N", 3, "H", "W"])
    raise_opset(model, SAME_SINCE_11)
    return serialised(model)


def renamed(data, names):
    """The same network with inputs and outputs renamed."""
    model = parsed(data)
    rename(model.graph, names)
    return serialised(model)


def free_batch(data, names):
    """A classifier of opset 9 to 13 that was exported for one picture, for any number of them; inputs and outputs renamed by `names`."""
    model = parsed(data)
    graph = model.graph
    if [o.domain for o in model.opset_import] != [""] or not 9 <= model.opset_import[0].version <= OPSET:
        raise ValueError(f"opsets {[(o.domain, o.version) for o in model.opset_import]}")
    if missing := set(names) - {info.name for info in [*graph.input, *graph.output]}:
        raise ValueError(f"no input or output is called {', '.join(sorted(missing))}")
    del graph.value_info[:]
    free_reshapes(graph)
    remove_dead(graph)
    for info in [*graph.input, *graph.output]:
        first = info.type.tensor_type.shape.dim[:1]
        if not first or first[0].dim_value != 1:
            raise ValueError(f"{info.name} was not exported for one picture")
        first[0].dim_param = "N"
    rename(graph, names)
    raise_opset(model, SAME_SINCE_9)
    return serialised(model)


def free_reshapes(graph):
    """Reshapes to [1, ...] keep the batch instead: 0 copies the input's first dimension."""
    constants = {c.name: c for c in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape":
            continue
        if len(node.input) != 2 or node.input[1] not in constants:
            raise ValueError(f"{node.name} computes its shape")
        shape = numpy_helper.to_array(constants[node.input[1]])
        if shape.ndim != 1 or shape[:1].tolist() != [1]:
            raise ValueError(f"{node.name} does not begin with a batch of one: {shape.tolist()}")
        node.input[1] = constant(graph, node.output[0] + "_shape", [0, *shape[1:]], np.int64)
