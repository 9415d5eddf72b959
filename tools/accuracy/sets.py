"""Sets whose faces are labelled by boxes or points, as the labels that `mien eval detection` reads: WIDER FACE's format.

Each function takes the folder of the set (with annotations.json and images/) and a folder that it writes into; it returns the path of what it has written.
"""
import json
import os


def annotations(folder):
    with open(os.path.join(folder, "annotations.json"), encoding="utf-8") as f:
        return json.load(f)


def corners(box):
    """x y w h of [x0, y0, x1, y1]; rounded, since labels have no more than two decimals and 16.000000000000007 says nothing."""
    x0, y0, x1, y1 = box
    return x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)


def around(points):
    """x y w h of the smallest box that holds all points."""
    xs, ys = zip(*points)
    return corners((min(xs), min(ys), max(xs), max(ys)))


def text(photos):
    """Labels of [(file, [x y w h of each face])]."""
    lines = []
    for file, faces in photos:
        lines += [file, str(len(faces)), *(" ".join(f"{v:.8g}" for v in face) for face in faces or [(0, 0, 0, 0)])]
    return "\n".join(lines) + "\n"


def write(made, photos):
    path = os.path.join(made, "labels.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text(photos))
    return path


def wider(folder, made):
    """WIDER FACE's validation photos of 416x416 pixels. Most faces are smaller than what is asked for, and then ignored."""
    return write(made, [(photo["file"], [corners(face["box"]) for face in photo["faces"]]) for photo in annotations(folder)])


def dlib(folder, made):
    """Photos in which each face was given 68 points by hand; the boxes are those of dlib's detector, squares."""
    return write(made, [(photo["file"], [corners(face["box"]) for face in photo["faces"]]) for photo in annotations(folder) if photo["faces"]])


def portraits(folder, made):
    """AFLW2000-3D: one face a photo, its box that of its 68 points, which end at the brows."""
    return write(made, [(photo["file"], [around(photo["landmarks68"])]) for photo in annotations(folder)])


# By the name of the set's folder.
DETECTION = {"wider_val_416": wider, "dlib_faces_boxes68": dlib, "aflw2000_prnet16": portraits}
