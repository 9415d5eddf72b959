"""How published originals become the ONNX files that mien runs. A recipe takes the originals' bytes and returns ONNX bytes.

numpy and onnx are imported only when something is converted: a run that only copies files starts in a few hundredths of a second.
"""

VERSION = 1  # raised whenever a conversion's output changes, so that installed files are made again


def copy(originals, model):
    """The published file is used as it is."""
    del model
    return originals[0]


def tfjs(originals, model):
    """A TensorFlow.js graph model: its .json and its .bin."""
    import tfjs as reader

    return reader.convert(model["id"], *originals)


def faceapi(originals, model):
    """A network of face-api: its weights manifest and its .bin."""
    import faceapi as reader

    return reader.convert(model["id"], *originals)


def tflite(originals, model):
    """A TensorFlow Lite network inside MediaPipe's face_landmarker.task."""
    import tflite as reader

    return reader.convert(model["id"], *originals)


def openvino(originals, model):
    """OpenVINO IR: its .xml and its .bin; one output."""
    import openvino as reader

    (output,) = model["runtime"]["outputs"].values()
    return reader.convert(model["id"], *originals, output)


def keras(originals, model):
    """Weights of MesoNet's networks as Keras saves them (.h5): one output."""
    import keras_h5 as reader

    (output,) = model["runtime"]["outputs"].values()
    return reader.convert(model["id"], originals[0], output)


def tfpb(originals, model):
    """A frozen graph of TensorFlow (.pb): one output."""
    import tfpb as reader

    (output,) = model["runtime"]["outputs"].values()
    return reader.convert(model["id"], originals[0], output)


def yunet(originals, model):
    """An ONNX export of YuNet, made independent of the input size."""
    import surgery

    del model
    return surgery.detector(originals[0])


def scrfd(originals, model):
    """An ONNX export of SCRFD with key points: as yunet, and its numbered outputs named."""
    import surgery

    del model
    return surgery.detector(originals[0], surgery.SCRFD_OUTPUTS)


def rename(originals, model):
    """An ONNX file whose inputs or outputs get the names in the catalogue's `rename`."""
    import surgery

    return surgery.renamed(originals[0], model["rename"])


def onnx_batch(originals, model):
    """An ONNX export for one picture, made independent of the batch; inputs and outputs get the names in the catalogue's `rename`."""
    import surgery

    return surgery.free_batch(originals[0], model.get("rename", {}))


def pytorch(originals, model):
    """A .pth of PyTorch: MiniFASNet, whose variants tell themselves apart by their weights."""
    import minifasnet

    return minifasnet.convert(model["id"], originals[0])


def espdl(originals, model):
    """Espressif's .espdl: one network of one output."""
    import espdl as reader

    (output,) = model["runtime"]["outputs"].values()
    return reader.convert(model["id"], originals[0], output)


RECIPES = {"copy": copy, "tfjs": tfjs, "faceapi": faceapi, "keras": keras, "tflite": tflite, "tfpb": tfpb, "espdl": espdl, "openvino": openvino,
           "yunet": yunet, "scrfd": scrfd, "rename": rename, "onnx_batch": onnx_batch, "pytorch": pytorch}
