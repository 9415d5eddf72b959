"""OpenVINO IR (versions 10 and 11) to ONNX: a network described by an .xml file, its weights in a .bin file.

The format: https://docs.openvino.ai/2024/documentation/openvino-ir-format.html and the operation specifications beside it (opset1). <layers> holds
operations with their attributes and the shapes of their ports, <edges> joins ports, and a Const says where in the .bin its numbers lie.
IR is NCHW like ONNX, its filters are OIHW (GIOHW when grouped). Only the operations of mobile convolutional networks are lowered,
and only with the attributes that those have; anything else is an error that names the layer.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from xml.etree import ElementTree

import numpy as np

from onnxbuild import Graph

VERSIONS = ("10", "11")
# Of the .xml, all far above what published networks have; an element costs some hundred bytes of memory.
MAX_XML_BYTES, MAX_ELEMENTS, MAX_DEPTH = 8 << 20, 400_000, 32
MAX_RANK = 8
# One Const may be used by several layers, but weights used more often than this in all are a bomb.
MAX_USES_OF_ALL_WEIGHTS = 4
DTYPES = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
CONSTANTS = {"Const", "Convert"}
CONVOLUTIONS = {"Convolution", "GroupConvolution"}
SKIPPED = {"rt_info", "meta_data"}  # how the file was made; no meaning for the network


def shown(text):
    """Text of the file as a short quotation on one line."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


# ---- .xml


class Tree(ElementTree.TreeBuilder):
    """Builds the elements that count, within bounds. Expat itself bounds tokens, and the whole text is bounded before."""

    def __init__(self):
        super().__init__()
        self.depth = self.elements = self.skipping = 0

    def start(self, tag, attributes):
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise ValueError(f"the .xml has more than {MAX_ELEMENTS} elements or nests them deeper than {MAX_DEPTH}")
        if self.skipping or (tag in SKIPPED and self.depth > 1):
            self.skipping += 1
        else:
            super().start(tag, attributes)

    def end(self, tag):
        self.depth -= 1
        if self.skipping:
            self.skipping -= 1
        else:
            super().end(tag)

    def data(self, text):
        if not self.skipping:
            super().data(text)

    def doctype(self, *_):
        raise ValueError("the .xml has a document type declaration")


def parse_xml(data):
    if len(data) > MAX_XML_BYTES:
        raise ValueError(f"the .xml has {len(data)} bytes, more than {MAX_XML_BYTES}")
    # Without a DTD there are no entities to expand or to fetch. It cannot hide in another encoding: UTF-8 is forced below, which expat
    # overrides only for UTF-16, where every "<" has a zero byte.
    if b"\0" in data:
        raise ValueError("the .xml is not UTF-8")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("the .xml has a document type declaration")
    parser = ElementTree.XMLParser(target=Tree(), encoding="utf-8")
    try:
        parser.feed(data)
        return parser.close()
    except ElementTree.ParseError as problem:
        raise ValueError(f"the .xml is not well-formed: {str(problem)[:100]}") from problem


def attribute(element, name):
    if name not in element.attrib:
        raise ValueError(f"an element <{element.tag[:60]}> of the .xml lacks {name!r}")
    return element.attrib[name]


def number(text, what):
    if not re.fullmatch("[0-9]{1,10}", text):  # int() takes more than digits
        raise ValueError(f"{what}: {shown(text)} is not a number of at most 10 digits")
    return int(text)


def numbers(text, what):
    """"1, 3, 128, 128" as a tuple; a scalar's shape is empty."""
    return tuple(number(part.strip(), what) for part in text.split(",")) if text.strip() else ()


# ---- layers and edges


@dataclass
class Layer:
    id: int
    name: str
    type: str
    version: str
    data: dict  # attributes of <data>
    inputs: dict = field(default_factory=dict)  # port -> the Layer that feeds it, in the order of the ports; None until its edge is read
    outputs: dict = field(default_factory=dict)  # port -> dims

    def __str__(self):
        return f"layer {self.id} {shown(self.name)} ({shown(self.type)})"

    def fail(self, problem):
        raise ValueError(f"{self}: {problem[:200]}")

    def list(self, key, default=None):
        if key not in self.data and default is None:
            self.fail(f"no {key!r}")
        return numbers(self.data.get(key, default), f"{self}: {key}")

    def number(self, key):
        return number(self.data.get(key, ""), f"{self}: {key}")

    def only(self, key, allowed):
        """Fails unless the attribute is absent or one of the values that this reader handles."""
        if self.data.get(key, allowed[0]) not in allowed:
            self.fail(f"{key} {shown(self.data[key])} is not known")

    def sources(self, count):
        if len(self.inputs) != count:
            self.fail(f"{len(self.inputs)} inputs, expected {count}")
        return list(self.inputs.values())

    def dims(self):
        if len(self.outputs) != 1:
            self.fail(f"{len(self.outputs)} outputs, expected 1")
        return next(iter(self.outputs.values()))


def ports(element, side, layer):
    """(port, dims) of <input> or <output>."""
    found = {}
    for port in element.iterfind(f"{side}/port"):
        key = number(attribute(port, "id"), f"{layer}: port")
        if key in found:
            layer.fail(f"port {key} twice")
        found[key] = tuple(number((dim.text or "").strip(), f"{layer}: dimension") for dim in port.iterfind("dim"))
        if len(found[key]) > MAX_RANK:
            layer.fail(f"port {key} has {len(found[key])} dimensions")
    return found


def read_layer(element):
    data = element.find("data")
    layer = Layer(number(attribute(element, "id"), "a layer's id"), attribute(element, "name"), attribute(element, "type"),
                  element.get("version", "opset1"), {} if data is None else data.attrib)
    layer.inputs = dict.fromkeys(ports(element, "input", layer))
    layer.outputs = ports(element, "output", layer)
    return layer


def join(layers, edge):
    source, source_port, target, port = (number(attribute(edge, key), f"an edge's {key}") for key in ("from-layer", "from-port", "to-layer", "to-port"))
    if source not in layers or source_port not in layers[source].outputs:
        raise ValueError(f"an edge comes from layer {source}, port {source_port}, which does not exist")
    if target not in layers or port not in layers[target].inputs:
        raise ValueError(f"an edge goes to layer {target}, port {port}, which does not exist")
    if layers[target].inputs[port] is not None:
        layers[target].fail(f"two edges go to port {port}")
    layers[target].inputs[port] = layers[source]


def read_layers(xml):
    """The layers, joined, in the order of the file."""
    root = parse_xml(xml)
    if root.tag != "net" or root.get("version") not in VERSIONS:
        raise ValueError(f"the .xml is not OpenVINO IR of version {' or '.join(VERSIONS)}: <{root.tag[:60]}> of version {shown(root.get('version', 'none'))}")
    layers = {}
    for element in root.iterfind("layers/layer"):
        layer = read_layer(element)
        if layer.id in layers:
            layer.fail("another layer has this id")
        layers[layer.id] = layer
    for edge in root.iterfind("edges/edge"):
        join(layers, edge)
    for layer in layers.values():
        if None in layer.inputs.values():
            layer.fail("no edge goes to one of its inputs")
    return list(layers.values())


def the_only(layers, kind):
    found = [layer for layer in layers if layer.type == kind]
    if len(found) != 1:
        raise ValueError(f"the network has {len(found)} layers of type {kind}, expected 1")
    return found[0]


def in_order(result):
    """The layers that `result` needs, each after its inputs. A loop and not a recursion: a hostile file may be one long chain."""
    order, state, stack = [], {}, [result]
    while stack:
        layer = stack[-1]
        if layer.id not in state:
            state[layer.id] = "open"
            waiting = [source for source in layer.inputs.values() if state.get(source.id) != "done"]
            if any(state.get(source.id) == "open" for source in waiting):
                layer.fail("the layers form a cycle")
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        if state[layer.id] == "open":
            state[layer.id] = "done"
            order.append(layer)
    return order


# ---- to ONNX


class Lowering:
    """`values` maps layers' ids to Maps of the graph or, of constants, arrays of the numbers as they are stored."""

    def __init__(self, name, layers, weights):
        self.graph = Graph(name)
        self.weights = weights
        self.left = MAX_USES_OF_ALL_WEIGHTS * len(weights)
        the_only(layers, "Parameter")
        # Constants first: a convolution takes its bias from an Add that comes later.
        self.order = sorted(in_order(the_only(layers, "Result")), key=lambda layer: layer.type not in CONSTANTS)
        self.uses = Counter(source.id for layer in self.order for source in layer.inputs.values())
        self.biases = self.find_biases()  # a convolution's id -> the Add that becomes its bias
        self.values = {}

    def run(self):
        for layer in self.order:
            handler = getattr(self, "op_" + layer.type, None) if layer.version == "opset1" else None
            if handler is None:
                layer.fail(f"operation {shown(layer.type)} of {shown(layer.version)} is not known")
            value = handler(layer)
            self.check_dims(layer, value)
            self.values[layer.id] = value
        return self.values[self.order[-1].id]

    @staticmethod
    def check_dims(layer, value):
        """The shape we compute must be the one the file declares."""
        if layer.type == "Result":
            return
        computed = value.shape if isinstance(value, np.ndarray) else (1, value.c, value.h, value.w)
        if computed != layer.dims() or 0 in computed:
            layer.fail(f"its shape is {list(computed)}, the file says {list(layer.dims())}")

    # ---- inputs of a layer

    def map(self, layer, source):
        value = self.values[source.id]
        if isinstance(value, np.ndarray):
            layer.fail(f"its input {source.id} is a constant, expected a feature map")
        return value

    def constant(self, layer, source):
        """Counts what is used: a few bytes of .bin must not become gigabytes of filters."""
        value = self.values[source.id]
        if not isinstance(value, np.ndarray):
            layer.fail(f"its input {source.id} is not a constant")
        self.left -= value.nbytes
        if self.left < 0:
            layer.fail("constants are used more often than their size allows")
        if not np.isfinite(value).all():
            layer.fail(f"the numbers of its input {source.id} are not all finite")
        return value

    def per_channel(self, layer, source, channels):
        """A 1 x C x 1 x 1 constant as C x 1 x 1, or a single number as 1 x 1 x 1."""
        value = self.constant(layer, source)
        if value.size != 1 and value.shape != (1, channels, 1, 1):
            layer.fail(f"a constant of shape {list(value.shape)} on a map of {channels} channels")
        return value.reshape(-1, 1, 1)

    # ---- input, constants, output

    def op_Parameter(self, layer):
        shape = layer.list("shape")
        layer.only("element_type", ("f32",))
        if len(shape) != 4 or shape[0] != 1 or 0 in shape:
            layer.fail(f"an input of shape {list(shape)}, expected 1 x C x H x W")
        return self.graph.image(*shape[2:], shape[1])

    def op_Const(self, layer):
        if layer.data.get("element_type") not in DTYPES:
            layer.fail(f"numbers of type {shown(layer.data.get('element_type', 'none'))} are not known")
        dtype, shape = DTYPES[layer.data["element_type"]], layer.list("shape")
        offset, size = layer.number("offset"), layer.number("size")
        if len(shape) > MAX_RANK or prod(shape) * dtype.itemsize != size or size == 0:
            layer.fail(f"shape {list(shape)[:MAX_RANK]} of {dtype.itemsize} bytes each in {size} bytes")
        if offset + size > len(self.weights):
            layer.fail(f"bytes {offset} to {offset + size} of a .bin of {len(self.weights)}")
        return np.frombuffer(self.weights, dtype, prod(shape), offset).reshape(shape)

    def op_Convert(self, layer):
        """Of weights that are stored as float16: all are used as float32."""
        layer.only("destination_type", ("f32",))
        (source,) = layer.sources(1)
        if not isinstance(self.values[source.id], np.ndarray):
            layer.fail("only constants are converted")
        return self.values[source.id]

    def op_Result(self, layer):
        return self.graph.flatten(self.map(layer, *layer.sources(1)))

    # ---- convolutions

    def find_biases(self):
        """A convolution has no bias of its own: it is the Add of a constant that follows, where nothing else uses the convolution."""
        found = {}
        for layer in self.order:
            if layer.type == "Add" and len(layer.inputs) == 2:
                source, added = layer.inputs.values()
                if source.type in CONVOLUTIONS and self.uses[source.id] == 1 and added.type in CONSTANTS:
                    found[source.id] = layer
        return found

    def op_Convolution(self, layer):
        source, filters = layer.sources(2)
        weights = self.constant(layer, filters)
        if weights.ndim != 4:
            layer.fail(f"filters of shape {list(weights.shape)}, expected O x I x H x W")
        return self.convolution(layer, self.map(layer, source), weights, 1)

    def op_GroupConvolution(self, layer):
        source, filters = layer.sources(2)
        weights = self.constant(layer, filters)
        if weights.ndim != 5:
            layer.fail(f"filters of shape {list(weights.shape)}, expected G x O x I x H x W")
        return self.convolution(layer, self.map(layer, source), weights.reshape(-1, *weights.shape[2:]), weights.shape[0])

    def convolution(self, layer, x, weights, group):
        layer.only("auto_pad", ("explicit",))
        strides, dilations, begin, end = (layer.list(key) for key in ("strides", "dilations", "pads_begin", "pads_end"))
        if any(len(each) != 2 for each in (strides, dilations, begin, end)) or 0 in strides or dilations != (1, 1):
            layer.fail(f"strides {strides}, dilations {dilations}, pads {begin} {end}")
        if weights.shape[1] * group != x.c:
            layer.fail(f"filters for {weights.shape[1] * group} channels on a map of {x.c}")
        bias = None
        if layer.id in self.biases:
            add = self.biases[layer.id]
            bias = np.broadcast_to(self.per_channel(add, add.sources(2)[1], len(weights)), (len(weights), 1, 1))
        return self.graph.convolution(x, weights, bias, weights.shape[2:], strides, (*begin, *end), group, None)

    # ---- the rest

    def op_Add(self, layer):
        source, _ = layer.sources(2)
        if self.biases.get(source.id) is layer:
            return self.map(layer, source)
        return self.elementwise(layer, "Add")

    def op_Multiply(self, layer):
        return self.elementwise(layer, "Mul")

    def elementwise(self, layer, op):
        """Two maps of one shape, a map and its channels' weights as a 1 x 1 map, or a map and a constant."""
        layer.only("auto_broadcast", ("numpy",))
        first, second = layer.sources(2)
        x, y = self.map(layer, first), self.values[second.id]
        if isinstance(y, np.ndarray):
            return self.graph.binary(op, x, self.per_channel(layer, second, x.c))
        if op == "Mul" and (y.h, y.w, y.c) == (1, 1, x.c):
            return self.graph.gate(x, y)
        if (x.h, x.w, x.c) != (y.h, y.w, y.c):
            layer.fail(f"maps of {x.c} x {x.h} x {x.w} and {y.c} x {y.h} x {y.w}")
        return self.graph.binary(op, x, y)

    def op_PReLU(self, layer):
        """One slope for all channels, or one for each in a vector."""
        source, slopes = layer.sources(2)
        x, slope = self.map(layer, source), self.constant(layer, slopes)
        if slope.size != 1 and slope.shape != (x.c,):
            layer.fail(f"slopes of shape {list(slope.shape)} on a map of {x.c} channels")
        return self.graph.prelu(x, slope.ravel())

    def op_Sigmoid(self, layer):
        return self.graph.unary("Sigmoid", self.map(layer, *layer.sources(1)))

    def op_ReLU(self, layer):
        return self.graph.relu(self.map(layer, *layer.sources(1)))

    def op_AvgPool(self, layer):
        x = self.map(layer, *layer.sources(1))
        layer.only("auto_pad", ("explicit", "valid"))
        if layer.list("kernel") != (x.h, x.w) or layer.list("pads_begin") != (0, 0) or layer.list("pads_end") != (0, 0):
            layer.fail(f"only an average over the whole map of {x.h} x {x.w} is known")
        return self.graph.average(x)


def convert(network, xml, weights, output):
    """ONNX bytes from the .xml and the .bin; the network has one input, and one `output` of N x C."""
    lowering = Lowering(network, read_layers(xml), weights)
    return lowering.graph.finish({output: lowering.run()})
