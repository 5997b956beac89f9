"""Read and write files of LR/HR pairs (HDF5), the one packed format of training and validation.

A file holds `lr` and `hr`, uint8 (N, H, W, 3) RGB, one uncompressed chunk per sample; `clip`, the
clip of each row as an index into `clip_names`; and the attributes scale, degradation, colour,
source, versions. Files of the PyTorch port ELSR-torch (float32 NCHW, 0..255; one array, or one
dataset per row) read the same way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from elsr_paddle import __version__
from elsr_paddle.errors import InputError, needs
from elsr_paddle.files import atomic_write

h5py = needs("h5py", "train")

BLOCK_ROWS = 16  # rows converted at once while a file is loaded
GROWTH = 256  # rows by which the arrays of an unfinished file grow
EVERYTHING = slice(None)
FORMAT = ("v110", "v110")  # the first whose structures carry checksums: damage is found, not read


class MixedSizesError(InputError):
    """The images of one file would differ in size."""


class Pairs:
    """The pairs of one file, in memory when they fit `memory_budget`, else read when asked for.

    Parameters
    ----------
    path : str or Path
    memory_budget : int, bytes the decoded file may take in memory
    scale : int, the scale the caller needs; None takes the file's.

    Attributes
    ----------
    scale : int
    degradation : str, "unknown" in a file of ELSR-torch
    clips : list of str, the clip of each row
    lr_sizes : int array (N, 2), height and width of each row
    lr_size, hr_size : (height, width) of every row, or None when the rows differ in size
    in_memory : bool

    Raises
    ------
    InputError if the file is missing, damaged, of another kind or of another scale.
    """

    def __init__(
        self, path: str | Path, memory_budget: float = 2**30, scale: int | None = None
    ) -> None:
        self.path = Path(path)
        self._opened = None  # (process id, file, lr, hr) once a row was read from the file
        with _opened(self.path) as file, _reading(self.path):
            self._lr_layout, self._hr_layout = _Layout(file["lr"]), _Layout(file["hr"])
            self.scale = _common_scale(self._lr_layout.sizes, self._hr_layout.sizes)
            self._check_scale(file.attrs.get("scale", self.scale), scale)
            self.degradation = _text(file.attrs.get("degradation", "unknown"))
            self.clips = _clips(file, len(self), self.path.stem)
            self.lr_size, self.hr_size = self._lr_layout.size, self._hr_layout.size
            needed = self._lr_layout.nbytes + self._hr_layout.nbytes
            self.in_memory = needed <= memory_budget
            if self.in_memory:
                self._lr, self._lr_layout = self._lr_layout.load(file["lr"])
                self._hr, self._hr_layout = self._hr_layout.load(file["hr"])

    def __len__(self) -> int:
        return len(self._lr_layout.sizes)

    @property
    def lr_sizes(self) -> np.ndarray:
        return np.array(self._lr_layout.sizes)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of one row: uint8 (h, w, 3) and (h * scale, w * scale, 3), RGB."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)  # lets `for lr, hr in pairs` end
        return self._read(index % len(self), EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING)

    def crop(
        self, index: int, top: int, left: int, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of a square of one row; position and side in LR pixels. May be views."""
        large = self.scale
        return self._read(
            index,
            slice(top, top + side),
            slice(left, left + side),
            slice(top * large, (top + side) * large),
            slice(left * large, (left + side) * large),
        )

    def close(self) -> None:
        """Close the file; reading a row opens it again."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, index, lr_rows, lr_columns, hr_rows, hr_columns):
        with _reading(self.path):
            lr_node, hr_node = (self._lr, self._hr) if self.in_memory else self._nodes()
            lr = self._lr_layout.read(lr_node, index, lr_rows, lr_columns)
            return lr, self._hr_layout.read(hr_node, index, hr_rows, hr_columns)

    def _nodes(self):
        """The file's arrays, opened once per process: a handle does not survive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            file = h5py.File(self.path, "r")
            self._opened = os.getpid(), file, file["lr"], file["hr"]
        return self._opened[2:]

    def _check_scale(self, recorded, needed):
        if recorded != self.scale:
            raise InputError(
                f"the file says scale {recorded} but its images differ by {self.scale}; "
                "prepare it again"
            )
        if needed is not None and needed != self.scale:
            raise InputError(
                f"expected pairs of scale {needed} but the file holds scale {self.scale}; "
                f"prepare one with --scale {needed}"
            )


@contextmanager
def pair_writer(
    path: str | Path, *, scale: int, degradation: str = "bicubic", source: str = ""
) -> Iterator[PairWriter]:
    """Open a new file of pairs; it appears under `path` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
    scale, degradation, source : recorded in the file

    Yields
    ------
    PairWriter: `add(lr, hr, clip)` appends a pair.

    Raises
    ------
    InputError if nothing was added, or the folder cannot be written to or is full.
    """
    path = Path(path)
    try:
        with atomic_write(path) as temporary, h5py.File(temporary, "w", libver=FORMAT) as file:
            writer = PairWriter(file)
            yield writer
            writer.finish()
            for name, value in _description(scale, degradation, source).items():
                # Text of fixed length, as in PairWriter.finish.
                file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    except (OSError, RuntimeError) as error:  # RuntimeError: HDF5 could not close the file
        # h5py's own text tells of chunks and buffers
        reason = os.strerror(error.errno) if getattr(error, "errno", None) else error
        raise InputError(f"cannot write to {path.parent}: {reason}") from error


def _description(scale, degradation, source):
    """The attributes of a file of pairs."""
    opencv = needs("cv2", "opencv").__version__
    versions = {"elsr_paddle": __version__, "numpy": np.__version__, "opencv": opencv}
    return {
        "scale": scale,
        "degradation": degradation,
        "colour": "RGB",
        "source": source,
        "versions": json.dumps(versions),
    }


class PairWriter:
    """Appends pairs to an open HDF5 file: `lr` and `hr` uint8 (N, H, W, 3), a chunk per sample."""

    def __init__(self, file):
        self.rows = 0
        self._file = file
        self._arrays = None  # (lr, hr), made when the first pair shows the sizes
        self._clip_of_row = []
        self._clip_numbers = {}

    def add(self, lr: np.ndarray, hr: np.ndarray, clip: str) -> None:
        """Append one pair of clip `clip`; MixedSizesError if it is not of the first one's size."""
        if self._arrays is None:
            self._arrays = [self._create("lr", lr.shape), self._create("hr", hr.shape)]
        for array, image in zip(self._arrays, (lr, hr)):
            _append(array, self.rows, image)
        self._clip_of_row.append(self._clip_numbers.setdefault(clip, len(self._clip_numbers)))
        self.rows += 1

    def finish(self) -> None:
        """Cut the arrays to their length and write the clips."""
        if not self.rows:
            raise InputError("expected at least one pair to write but got none")
        for array in self._arrays:
            array.resize(self.rows, axis=0)
        self._file["clip"] = np.array(self._clip_of_row, np.int32)  # (N,) index into clip_names
        # An array, not an attribute: HDF5 limits those to 64 KB, and every photo is a clip.
        # Of fixed length: those of any length lie in a heap that carries no checksum.
        names = [name.encode() for name in self._clip_numbers]
        kind = h5py.string_dtype("utf-8", max(map(len, names)) or 1)
        self._file["clip_names"] = np.array(names, kind)

    def _create(self, name, shape):
        # Uncompressed: reads are several times faster, and lzf or gzip save only 10-17 %.
        return self._file.create_dataset(
            name, (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape)
        )


def _append(array, row, image):
    if image.shape != array.shape[1:]:
        (h, w), (height, width) = image.shape[:2], array.shape[1:3]
        raise MixedSizesError(
            f"expected images of one size but got {w}x{h} after {width}x{height}; "
            "give --hr-patch to cut them into patches"
        )
    if row == len(array):
        array.resize(row + GROWTH, axis=0)
    # A chunk is a sample, so it goes to the file as it is, without HDF5's own copies.
    array.id.write_direct_chunk((row, 0, 0, 0), np.ascontiguousarray(image))


class _Layout:
    """How one side of the pairs is stored, and how a window of a row is read as uint8 RGB."""

    def __init__(self, node):
        self.grouped = isinstance(node, h5py.Group)
        shapes = [node[str(i)].shape for i in range(len(node))] if self.grouped else node.shape[1:]
        shapes = shapes if self.grouped else [shapes] * node.shape[0]
        if not shapes or any(len(shape) != 3 for shape in shapes):
            raise InputError("expected at least one image of three axes in `lr` and `hr`")
        self.channels_first = shapes[0][2] != 3
        if {shape[0 if self.channels_first else 2] for shape in shapes} != {3}:
            raise InputError(f"expected images with 3 channels but got shape {shapes[0]}")
        self.sizes = [shape[1:] if self.channels_first else shape[:2] for shape in shapes]
        self.size = self.sizes[0] if len(set(self.sizes)) == 1 else None
        self.nbytes = 3 * sum(prod(size) for size in self.sizes)
        _check_range(node["0"][()] if self.grouped else node[0])

    def read(self, node, index, rows, columns):
        """A window of one row, uint8 (h, w, 3)."""
        window = (EVERYTHING, rows, columns) if self.channels_first else (rows, columns)
        values = node[str(index)][window] if self.grouped else node[(index, *window)]
        return self._as_images(values)

    def load(self, node):
        """Everything in memory, as uint8 with channels last, and the layout it then has."""
        if self.grouped:
            loaded = {key: self._as_images(node[key][()]) for key in node}
        else:
            loaded = np.empty((len(self.sizes), *self.size, 3), np.uint8)
            for first in range(0, len(loaded), BLOCK_ROWS):  # never a second copy of the whole
                block = slice(first, first + BLOCK_ROWS)
                loaded[block] = self._as_images(node[block])
        return loaded, _Loaded(self)

    def _as_images(self, values):
        if self.channels_first:
            values = np.ascontiguousarray(np.moveaxis(values, -3, -1))
        if values.dtype == np.uint8:
            return values
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)


class _Loaded(_Layout):
    """The layout of what `_Layout.load` returns."""

    def __init__(self, stored):
        self.grouped, self.channels_first = stored.grouped, False
        self.sizes, self.size, self.nbytes = stored.sizes, stored.size, stored.nbytes


def _opened(path):
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}; make it with prepare_h5.py") from error
    except OSError as error:
        raise InputError(
            f"expected an HDF5 file of pairs but cannot read {path} ({error}); prepare it again"
        ) from error


@contextmanager
def _reading(path):
    """Turn what h5py raises on damaged or foreign content into one line that names the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected pairs `lr` and `hr` in {path} but cannot read them ({error}); "
            "prepare it again"
        ) from error


def _check_range(image):
    """Float files hold 0..255; one of 0..1 would turn black without a word."""
    if image.dtype.kind == "f" and 0 < image.max() <= 1:
        raise InputError("expected values of 0..255 but got 0..1; multiply them by 255")


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _common_scale(lr_sizes, hr_sizes):
    """The one whole number by which all HR images are larger than their LR images."""
    if len(lr_sizes) != len(hr_sizes):
        raise InputError(f"expected as many `lr` as `hr` but got {len(lr_sizes)}, {len(hr_sizes)}")
    scale = hr_sizes[0][0] // max(1, lr_sizes[0][0])
    for lr, hr in zip(lr_sizes, hr_sizes):
        if scale < 1 or hr != (lr[0] * scale, lr[1] * scale):
            raise InputError(f"expected HR a whole multiple of LR but got {hr} and {lr}")
    return scale


def _clips(file, count, default):
    """The clip of each row; a file of ELSR-torch is one clip."""
    if "clip" not in file:
        return [default] * count
    names = file["clip_names"].asstr()[()]
    return [str(name) for name in names[file["clip"][()]]]
