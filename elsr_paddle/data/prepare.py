"""Clips -> files of LR/HR pairs, streaming: memory does not grow with the input."""

from __future__ import annotations

import math
import os
import zlib
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2

from elsr_paddle.data.clips import REDS_SCALE, find_reds, split_clips
from elsr_paddle.data.pairs import MixedSizesError, pair_writer
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.degrade import DEGRADATIONS, make_pair
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.resize import imresize, modcrop
from elsr_paddle.threads import ordered_map

PIXELS_UNDER_WAY = 40_000_000  # in all threads; decoding and cutting take about 12 bytes a pixel
REDS_EVERY = 10  # of a clip's frames, one in so many is kept by `ensure_reds`


@dataclass(frozen=True)
class Recipe:
    """What is made of each frame."""

    scales: tuple = (2, 4)
    degradation: str = "bicubic"
    hr_patch: int | None = None  # side of the patches the frame is cut into; None keeps it whole
    min_detail: float = 0.0  # patches below are dropped; see `detail`
    shrink: int = 1  # the frame is first shrunk by this (the reduced REDS of the port: 4)


def prepare(
    clips_train,
    clips_val,
    output,
    *,
    scales=(2, 4),
    degradation="bicubic",
    hr_patch=None,
    min_detail=0.0,
    every=1,
    shrink=1,
    workers=None,
    overwrite=False,
    progress=None,
    on_error=None,
    source="",
):
    """Write `train_x2.h5`, `train_x4.h5`, `val_x2.h5`, `val_x4.h5` (for scales 2, 4) of clips.

    Each frame is decoded once for all scales. The files appear together at the end, each whole.

    Parameters
    ----------
    clips_train, clips_val : lists of sources.Clip; without clips_val no validation file is written.
    output : str or Path, folder
    scales : iterable of int
    degradation : a name in degrade.DEGRADATIONS
    hr_patch : int, side of the HR patches that training frames are cut into, a multiple of every
        scale; needed when frames differ in size. Validation keeps whole frames wherever they are
        of one size, and is cut the same way where not.
    min_detail : float, levels; training patches with less `detail` are dropped.
    every : int, take every n-th frame of each clip
    shrink : int, shrink the HR frames by this first
    workers : int, threads; None for one per core
    overwrite : bool, replace files that are there
    progress : callable(iterable, *, total, desc) that returns the iterable, such as tqdm; total is
        None when a video does not say its length.
    on_error : callable that takes the InputError of each image that cannot be used; such images are
        left out. None raises the first.
    source : str, recorded in the files

    Returns
    -------
    list of Path, the files written

    Raises
    ------
    InputError if an output is there already, an argument is unusable, frames differ in size and no
    `hr_patch` is given, or nothing is left to write.
    """
    recipe = Recipe(tuple(scales), degradation, hr_patch, min_detail, shrink)
    _check_recipe(recipe, clips_train)
    for what, count in (("every", every), ("workers", workers)):
        if count is not None and count < 1:
            raise InputError(f"expected {what} to be at least 1 but got {count}")
    stream = _Stream(every, workers or os.cpu_count() or 1, progress, on_error, source)
    train_files, val_files = (_outputs(output, part, recipe.scales) for part in ("train", "val"))
    if not overwrite:
        _check_absent(train_files + val_files)
    with ExitStack() as stack:  # all files appear when it closes, or none
        # Validation first: it is short, and shows soonest what is wrong with the frames.
        if clips_val:
            stack.push(_validation(stream, val_files, clips_val, recipe))
        stream.fill(stack, train_files, clips_train, recipe, "train")
    if clips_val:
        return train_files + val_files
    for stale in val_files:  # of an earlier split, whose clips may be trained on now
        stale.unlink(missing_ok=True)
    return train_files


def _validation(stream, files, clips, recipe):
    """An ExitStack of the filled validation files: whole frames, or patches if sizes differ."""
    whole = replace(recipe, hr_patch=None)
    try:
        with ExitStack() as attempt:
            stream.fill(attempt, files, clips, whole, "val")
            return attempt.pop_all()
    except MixedSizesError:
        if recipe.hr_patch is None:
            raise
    with ExitStack() as attempt:
        stream.fill(attempt, files, clips, replace(recipe, min_detail=0), "val")
        return attempt.pop_all()


def detail(image):
    """Mean absolute difference of neighbouring pixels, in levels: 0 flat, above 10 busy texture."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    across = cv2.absdiff(gray[:, 1:], gray[:, :-1]).mean()
    down = cv2.absdiff(gray[1:], gray[:-1]).mean()
    return float(across + down) / 2


def patch_corners(height, width, patch, step):
    """Top-left corners of a grid of patches that covers the whole image.

    As few patches as cover it, evenly spread; neighbours overlap where the size is no multiple.

    Parameters
    ----------
    height, width, patch : int, pixels
    step : int, corners are multiples of it (so that they fall on LR pixels)

    Returns
    -------
    list of (top, left), empty if the image is smaller than a patch
    """
    if min(height, width) < patch:
        return []
    return list(product(*(_spread(length, patch, step) for length in (height, width))))


def _spread(length, patch, step):
    count = math.ceil(length / patch)
    if count == 1:
        return [0]
    return [(length - patch) * i // (count - 1) // step * step for i in range(count)]


def ensure_reds(root, folder, *, scales=(2, 4), progress=None, on_error=None):
    """Prepare REDS under `folder` unless its files are there already.

    Every REDS_EVERY-th frame is kept, whole: neighbours are nearly the same picture, and all of
    REDS would take 155 GB for the two scales.

    Parameters
    ----------
    root : str or Path of REDS, or "auto"; see sources.find_reds.
    folder, scales, progress, on_error : as for `prepare`

    Returns
    -------
    list of Path, the files for training and validation
    """
    files = [file for part in ("train", "val") for file in _outputs(folder, part, scales)]
    if all(file.exists() for file in files):
        return files
    train, val = find_reds(root)
    if not val:
        train, val = split_clips(train)
    return prepare(
        train,
        val,
        folder,
        scales=scales,
        every=REDS_EVERY,
        overwrite=True,
        progress=progress,
        on_error=on_error,
        source="REDS",
    )


@dataclass(frozen=True)
class _Stream:
    """Frames of clips -> rows of files, several frames under way at once, in order."""

    every: int
    workers: int
    progress: object
    on_error: object
    source: str

    def fill(self, stack, files, clips, recipe, part):
        """Fill one file per scale of the recipe; they appear when `stack` closes."""
        writers = [
            stack.enter_context(self._writer(file, scale, recipe.degradation))
            for file, scale in zip(files, recipe.scales)
        ]
        with closing(self._made(clips, recipe)) as made:
            for clip, pairs in self._shown(made, clips, part):
                for scale_index, lr, hr in pairs:
                    writers[scale_index].add(lr, hr, clip.name)
        if not writers[0].rows:
            raise InputError(f"nothing to write: no {part} frame was usable and had enough detail")

    def _writer(self, file, scale, degradation):
        return pair_writer(file, scale=scale, degradation=degradation, source=self.source)

    def _made(self, clips, recipe):
        """Yield (clip, [(index of the scale, lr, hr), ...]) for each frame, in order."""
        frames = (
            (clip, frame) for clip in clips for frame in clip.frames(self.every, self.on_error)
        )

        def work(item):
            return item[0], self._attempt(*item, recipe)

        return ordered_map(
            work,
            frames,
            workers=self.workers,
            weight=lambda item: item[1].pixels(),
            budget=PIXELS_UNDER_WAY,
        )

    def _attempt(self, clip, frame, recipe):
        """The pairs of a frame, or none if it cannot be read."""
        try:
            return list(frame_pairs(frame, recipe, seed=_seed(clip, frame)))
        except InputError as error:
            if self.on_error is None:
                raise
            self.on_error(error)
            return []

    def _shown(self, made, clips, part):
        if self.progress is None:
            return made
        counts = [clip.count(self.every) for clip in clips]
        total = None if None in counts else sum(counts)
        return self.progress(made, total=total, desc=part)


def _seed(clip, frame):
    """The noise of a frame is its own, and the same however the work is spread."""
    return zlib.crc32(f"{clip.name}/{frame.number}".encode())


def frame_pairs(frame, recipe, seed=0):
    """Yield (index of the scale, lr, hr) for every pair made of a frame.

    LR is made of the whole frame and then cut, so patches have no edges of their own.

    Parameters
    ----------
    frame : sources.Frame
    recipe : Recipe
    seed : int, of the degradation's noise

    Raises
    ------
    InputError if the frame cannot be read or is too small.
    """
    hr = frame.read()
    if recipe.shrink > 1:
        hr = imresize(modcrop(hr, recipe.shrink), scale=1 / recipe.shrink)
    corners = _corners(hr, frame, recipe)
    for index, scale in enumerate(recipe.scales):
        lr, cropped = _pair(frame, hr, scale, recipe, seed)
        if recipe.hr_patch is None:
            yield index, lr, cropped
        for top, left in corners:
            yield index, *_cut(lr, cropped, top, left, recipe.hr_patch)


def _corners(hr, frame, recipe):
    """Where the patches with enough detail lie; the same for every scale."""
    if recipe.hr_patch is None:
        return []
    patch, step = recipe.hr_patch, math.lcm(*recipe.scales)
    height, width = (length - length % step for length in hr.shape[:2])
    corners = patch_corners(height, width, patch, step)
    if not corners:
        name = frame.image if isinstance(frame.image, Path) else f"frame {frame.number}"
        raise InputError(f"{name} is {width}x{height}, smaller than a patch of {patch}x{patch}")
    if recipe.min_detail <= 0:
        return corners
    return [
        (top, left)
        for top, left in corners
        if detail(hr[top : top + patch, left : left + patch]) >= recipe.min_detail
    ]


def _pair(frame, hr, scale, recipe, seed):
    """The pair of a whole frame; REDS' own LR file where it is what would be made."""
    given = scale == REDS_SCALE and recipe.degradation == "bicubic" and recipe.shrink == 1
    if not (given and frame.given_lr):
        return make_pair(hr, scale, recipe.degradation, seed)
    lr, hr = read_image(frame.given_lr), modcrop(hr, scale)
    if hr.shape[:2] != (lr.shape[0] * scale, lr.shape[1] * scale):
        raise InputError(f"{frame.given_lr} does not fit its HR frame {frame.image}")
    return lr, hr


def _cut(lr, hr, top, left, patch):
    scale = hr.shape[0] // lr.shape[0]
    rows, columns = (slice(start // scale, (start + patch) // scale) for start in (top, left))
    return lr[rows, columns], hr[top : top + patch, left : left + patch]


def _outputs(folder, part, scales):
    return [Path(folder) / f"{part}_x{scale}.h5" for scale in scales]


def _check_absent(files):
    there = [str(file) for file in files if file.exists()]
    if there:
        raise InputError(f"{', '.join(there)} already there; give --overwrite to replace")


def _check_recipe(recipe, clips):
    if not clips:
        raise InputError("expected at least one clip to train on but got none")
    if not recipe.scales or min(recipe.scales) < 2 or len(set(recipe.scales)) < len(recipe.scales):
        raise InputError(f"expected different scales of 2 or more but got {recipe.scales}")
    if recipe.degradation not in DEGRADATIONS:
        raise InputError(
            f"expected a degradation in {', '.join(DEGRADATIONS)} but got {recipe.degradation!r}"
        )
    if recipe.shrink < 1:
        raise InputError(f"expected to shrink by 1 or more but got {recipe.shrink}")
    patch = recipe.hr_patch
    if patch is not None and (patch < 1 or any(patch % scale for scale in recipe.scales)):
        raise InputError(f"expected an HR patch divisible by {recipe.scales} but got {patch}")
