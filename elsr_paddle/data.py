"""Files of LR/HR pairs, and the stream of training patches drawn from them.

A file of pairs (HDF5) holds `lr` and `hr`, uint8 (N, H, W, 3) RGB, one chunk per sample. Files of
the PyTorch port (float32 NCHW, 0..255; one array, or one dataset per row) read the same way.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path

import cv2
import h5py
import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.parallel import ordered_map

SYMMETRIES = 8  # the flips and 90-degree rotations of a square: those that keep LR and HR a pair
BLOCK_ROWS = 16  # consecutive rows kept together in the order of an epoch
GROUP_BLOCKS = 64  # blocks whose rows are shuffled together
EVERYTHING = slice(None)


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
    degradation : str, "unknown" in a file of the port
    clips : list of str, the clip of each row
    lr_size, hr_size : (height, width) of every row, or None when the rows differ in size
    in_memory : bool

    Raises
    ------
    InputError if the file is missing, damaged, of another kind or of another scale.
    """

    def __init__(self, path, memory_budget=2**30, scale=None):
        self.path = Path(path)
        self._handle = self._handle_pid = None
        with _opened(self.path) as file, _reading(self.path):
            self._lr_layout, self._hr_layout = _Layout(file["lr"]), _Layout(file["hr"])
            self.scale = _common_scale(self._lr_layout.sizes, self._hr_layout.sizes)
            self._check_scale(file.attrs.get("scale", self.scale), scale)
            self.degradation = str(file.attrs.get("degradation", "unknown"))
            self.clips = _clips(file, len(self), self.path.stem)
            self.lr_size, self.hr_size = self._lr_layout.size, self._hr_layout.size
            needed = self._lr_layout.nbytes + self._hr_layout.nbytes
            self.in_memory = needed <= memory_budget
            if self.in_memory:
                self._lr, self._lr_layout = self._lr_layout.load(file["lr"])
                self._hr, self._hr_layout = self._hr_layout.load(file["hr"])

    def __len__(self):
        return len(self._lr_layout.sizes)

    def __getitem__(self, index):
        """(lr, hr) of one row: uint8 (h, w, 3) and (h * scale, w * scale, 3), RGB."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)  # lets `for lr, hr in pairs` end
        return self._read(index % len(self), EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING)

    def crop(self, index, top, left, side):
        """(lr, hr) of a square of one row; position and side in LR pixels. May be views."""
        large = self.scale
        return self._read(
            index,
            slice(top, top + side),
            slice(left, left + side),
            slice(top * large, (top + side) * large),
            slice(left * large, (left + side) * large),
        )

    def close(self):
        """Close the file; reading a row opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

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
        if self._handle is None or self._handle_pid != os.getpid():
            self._handle, self._handle_pid = h5py.File(self.path, "r"), os.getpid()
        return self._handle["lr"], self._handle["hr"]

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


class PatchBatches:
    """Batches of augmented patches; batches[step] depends on the seed and the step alone.

    Samples follow one endless order: all rows of the file, shuffled anew for each epoch, so a batch
    may end one epoch and begin the next. For the disk's sake the shuffle works on blocks of
    BLOCK_ROWS consecutive rows: blocks are shuffled, then the rows within each GROUP_BLOCKS blocks.
    A file of up to BLOCK_ROWS * GROUP_BLOCKS = 1024 rows is so shuffled fully. Each sample gets a
    random crop and one of the eight symmetries of the square. All draws are made per epoch from
    (seed, epoch), never from a running state, so resuming needs only the step.

    Parameters
    ----------
    pairs : Pairs
    hr_patch : int, side of the HR patch, pixels; a multiple of the scale
    batch_size : int, samples per rank
    seed : int
    rank, world_size : this process and their number. The global batch has world_size * batch_size
        samples, of which the rank takes every world_size-th: what one process with that batch gets.

    Raises
    ------
    InputError if the patch does not fit the rows or the scale.
    """

    def __init__(self, pairs, *, hr_patch, batch_size, seed, rank=0, world_size=1):
        _check_patch(pairs, hr_patch)
        self.pairs, self.seed = pairs, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.hr_patch, self.lr_patch = hr_patch, hr_patch // pairs.scale
        self.steps_per_epoch = max(1, len(pairs) // (batch_size * world_size))
        self._draws = lru_cache(maxsize=3)(self._draw_epoch)

    def __getitem__(self, step):
        """(lr, hr) of one step: uint8 (B, h, h, 3) and (B, hr_patch, hr_patch, 3), RGB."""
        lr = np.empty((self.batch_size, self.lr_patch, self.lr_patch, 3), np.uint8)
        hr = np.empty((self.batch_size, self.hr_patch, self.hr_patch, 3), np.uint8)
        samples = [self._sample(position) for position in self._positions(step)]
        # Rows are read in the order they lie on the disk.
        for slot in sorted(range(self.batch_size), key=lambda slot: samples[slot]):
            row, top, left, symmetry = samples[slot]
            small, large = self.pairs.crop(row, top, left, self.lr_patch)
            turn(small, symmetry, out=lr[slot])
            turn(large, symmetry, out=hr[slot])
        return lr, hr

    def loader(self, start_step, stop_step, workers=1):
        """Iterate over the batches of steps start_step .. stop_step - 1, prepared ahead.

        Threads prepare them while the caller trains; leaving the loop early stops the threads.
        They share the one open file (HDF5 reads one thing at a time in a process anyway).

        Parameters
        ----------
        start_step, stop_step : int
        workers : int, threads; at least one works even when 0 is given. More than one pays only
            for pairs in memory.
        """
        steps = range(start_step, stop_step)
        return ordered_map(self.__getitem__, steps, workers=max(1, workers))

    def _positions(self, step):
        """Places in the endless order of samples: this rank's share of the step's global batch."""
        first = step * self.batch_size * self.world_size + self.rank
        return range(first, first + self.batch_size * self.world_size, self.world_size)

    def _sample(self, position):
        """(row, top, left, symmetry) at a place of the endless order; top, left in LR pixels."""
        epoch, index = divmod(position, len(self.pairs))
        return self._draws(epoch)[index]

    def _draw_epoch(self, epoch):
        """Every sample of an epoch: list of (row, top, left, symmetry)."""
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self.pairs)
        rows = block_shuffle(count, rng)
        room = np.subtract(self.pairs.lr_size, self.lr_patch) + 1  # places for the crop, per axis
        corners = np.floor(rng.random((count, 2)) * room).astype(int)
        symmetries = rng.integers(SYMMETRIES, size=count)
        return list(zip(rows.tolist(), *corners.T.tolist(), symmetries.tolist()))


def block_shuffle(count, rng):
    """A permutation of range(count) that a disk can follow; see PatchBatches."""
    starts = rng.permutation(np.arange(0, count, BLOCK_ROWS))
    order = []
    for first in range(0, len(starts), GROUP_BLOCKS):
        rows = (starts[first : first + GROUP_BLOCKS, None] + np.arange(BLOCK_ROWS)).ravel()
        order.append(rng.permutation(rows[rows < count]))
    return np.concatenate(order)


def turn(image, symmetry, out):
    """Write one of the square's eight symmetries of a uint8 (H, H, 3) image into `out`.

    Bit 0 mirrors left-right, bit 1 top-bottom, bit 2 transposes, in that order. OpenCV moves whole
    pixels; numpy's reversed views move single bytes, several times slower.
    """
    mirror = (None, 1, 0, -1)[symmetry & 3]
    if symmetry & 4 and mirror is not None:
        cv2.transpose(cv2.flip(image, mirror), dst=out)
    elif symmetry & 4:
        cv2.transpose(image, dst=out)
    elif mirror is not None:
        cv2.flip(image, mirror, dst=out)
    else:
        out[:] = image


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
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected pairs `lr` and `hr` in {path} but cannot read them ({error}); "
            "prepare it again"
        ) from error


def _check_range(image):
    """Float files hold 0..255; one of 0..1 would turn black without a word."""
    if image.dtype.kind == "f" and 0 < image.max() <= 1:
        raise InputError("expected values of 0..255 but got 0..1; multiply them by 255")


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
    """The clip of each row; a file of the port is one clip."""
    if "clip" not in file:
        return [default] * count
    names = file["clip_names"].asstr()[()]
    return [str(name) for name in names[file["clip"][()]]]


def _check_patch(pairs, hr_patch):
    if pairs.hr_size is None:
        raise InputError(
            f"expected rows of one size to train on but those of {pairs.path} differ; "
            "prepare it with --hr-patch"
        )
    if hr_patch < 1 or hr_patch % pairs.scale:
        raise InputError(f"expected an HR patch divisible by {pairs.scale} but got {hr_patch}")
    if hr_patch > min(pairs.hr_size):
        height, width = pairs.hr_size
        raise InputError(
            f"expected rows of at least {hr_patch}x{hr_patch} pixels but those of {pairs.path} are "
            f"{width}x{height}; use a smaller patch or prepare larger ones"
        )
