"""Make files of LR/HR pairs of clips, streaming: memory does not grow with the input."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

import numpy as np

from elsr_paddle.data.clips import REDS_SCALE, Clip, Frame, find_reds, split_clips
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.pairs import MixedSizesError, pair_writer
from elsr_paddle.data.recipe import Job, Recipe
from elsr_paddle.errors import InputError, needs
from elsr_paddle.imaging.colour_spaces import with_saturation
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.resize import imresize, modcrop
from elsr_paddle.threads import ordered_map

PIXELS_UNDER_WAY = 40_000_000  # in all threads; decoding and cutting take about 12 bytes a pixel
_SEED_STEP = 2**32  # between the draws of a frame: above all seeds of first draws
REDS_EVERY = 10  # of a clip's frames, one in so many is kept by `ensure_reds`


def prepare(
    clips_train: Sequence[Clip],
    clips_val: Sequence[Clip],
    output: str | Path,
    recipe: Recipe | None = None,
    job: Job | None = None,
) -> list[Path]:
    """Write `train_x2.h5`, `train_x4.h5`, `val_x2.h5`, `val_x4.h5` (for scales 2, 4) of clips.

    Each frame is decoded once for all scales. The files appear together at the end, each whole.
    Validation keeps whole frames wherever they are of one size, and is cut into patches where not.

    Parameters
    ----------
    clips_train, clips_val : lists of clips.Clip; without clips_val no validation file is written.
    output : str or Path, folder
    recipe : Recipe; None for its defaults
    job : Job; None for its defaults

    Returns
    -------
    list of Path, the files written

    Raises
    ------
    InputError if an output is there already, frames differ in size and the recipe has no
    `hr_patch`, or nothing is left to write.
    """
    recipe, job = recipe or Recipe(), job or Job()
    if not clips_train:
        raise InputError("expected at least one clip to train on but got none")
    train_files, val_files = (_outputs(output, part, recipe.scales) for part in ("train", "val"))
    if not job.overwrite:
        _check_absent(train_files + val_files)
    stream = _Stream(job)
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
    patches = replace(recipe, min_detail=0.0)
    whole = replace(patches, hr_patch=None, draws=1) if len(recipe.shrinks) == 1 else patches
    try:
        return _filled(stream, files, clips, whole)
    except MixedSizesError:
        if recipe.hr_patch is None:
            raise
    return _filled(stream, files, clips, patches)


def _filled(stream, files, clips, recipe):
    """An ExitStack of filled validation files."""
    with ExitStack() as attempt:
        stream.fill(attempt, files, clips, recipe, "val")
        return attempt.pop_all()


def detail(image: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels, in levels: 0 flat, above 10 busy texture.

    Parameters
    ----------
    image : uint8 array (H, W, 3), RGB
    """
    cv2 = needs("cv2", "opencv")
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    across = cv2.absdiff(gray[:, 1:], gray[:, :-1]).mean()
    down = cv2.absdiff(gray[1:], gray[:-1]).mean()
    return float(across + down) / 2


def patch_corners(height: int, width: int, patch: int, step: int) -> list[tuple[int, int]]:
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


def ensure_reds(
    root: str | Path,
    folder: str | Path,
    *,
    scales: Iterable[int] = (2, 4),
    progress: Callable[..., Iterable] | None = None,
    on_error: Callable[[InputError], object] | None = None,
) -> list[Path]:
    """Prepare REDS under `folder` unless its files are there already.

    Every REDS_EVERY-th frame is kept, whole: neighbours are nearly the same picture, and all of
    REDS would take 155 GB for the two scales.

    Parameters
    ----------
    root : str or Path of REDS, or "auto"; see clips.find_reds.
    folder : str or Path, of the files
    scales : iterable of int
    progress, on_error : as in `Job`

    Returns
    -------
    list of Path, the files for training and validation
    """
    recipe = Recipe(scales=tuple(scales), every=REDS_EVERY)
    files = [file for part in ("train", "val") for file in _outputs(folder, part, recipe.scales)]
    if all(file.exists() for file in files):
        return files
    train, val = find_reds(root)
    if not val:
        train, val = split_clips(train)
    job = Job(overwrite=True, progress=progress, on_error=on_error, source="REDS")
    return prepare(train, val, folder, recipe, job)


@dataclass(frozen=True)
class _Stream:
    """Frames of clips -> rows of files, several frames under way at once, in order."""

    job: Job

    def fill(self, stack, files, clips, recipe, part):
        """Fill one file per scale of the recipe; they appear when `stack` closes."""
        writers = [
            stack.enter_context(self._writer(file, scale, recipe.degradation))
            for file, scale in zip(files, recipe.scales)
        ]
        with closing(self._made(clips, recipe)) as made:
            for clip, pairs in self._shown(made, clips, recipe.every, part):
                for scale_index, lr, hr in pairs:
                    writers[scale_index].add(lr, hr, clip.name)
        if not writers[0].rows:
            raise InputError(f"nothing to write: no {part} frame was usable and had enough detail")

    def _writer(self, file, scale, degradation):
        return pair_writer(file, scale=scale, degradation=degradation, source=self.job.source)

    def _made(self, clips, recipe):
        """Yield (clip, [(index of the scale, lr, hr), ...]) for each frame, in order."""
        on_error = self.job.on_error
        frames = ((clip, frame) for clip in clips for frame in clip.frames(recipe.every, on_error))

        def work(item):
            pairs = [self._attempt(*item, recipe, shrink) for shrink in recipe.shrinks]
            return item[0], list(chain.from_iterable(pairs))

        return ordered_map(
            work,
            frames,
            workers=self.job.workers or os.cpu_count() or 1,
            weight=lambda item: item[1].pixels(),
            budget=PIXELS_UNDER_WAY,
        )

    def _attempt(self, clip, frame, recipe, shrink):
        """The pairs of a frame that is shrunk first, or none if it cannot be used."""
        try:
            return list(frame_pairs(frame, recipe, shrink, seed=noise_seed(clip, frame)))
        except InputError as error:
            if self.job.on_error is None:
                raise
            self.job.on_error(error)
            return []

    def _shown(self, made, clips, every, part):
        if self.job.progress is None:
            return made
        counts = [clip.count(every) for clip in clips]
        total = None if None in counts else sum(counts)
        return self.job.progress(made, total=total, desc=part)


def noise_seed(clip: Clip, frame: Frame) -> int:
    """The noise of a frame is its own, and the same however the work is spread."""
    return zlib.crc32(f"{clip.name}/{frame.number}".encode())


def frame_pairs(
    frame: Frame, recipe: Recipe, shrink: float = 1, seed: int = 0
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index of the scale, lr, hr) for every pair made of a frame.

    LR is made of the whole frame and then cut, so patches have no edges of their own.

    Parameters
    ----------
    frame : clips.Frame
    recipe : Recipe
    shrink : float, the frame is shrunk by it first.
    seed : int, of the degradation's noise

    Raises
    ------
    InputError if the frame cannot be read or is too small.
    """
    hr = as_read = frame.read()
    if shrink > 1:
        hr = imresize(modcrop(hr, int(shrink)), scale=1 / shrink)
    if recipe.saturation != 1:
        hr = with_saturation(hr, recipe.saturation)
    corners = _corners(hr, frame, recipe, shrink)
    for index, scale in enumerate(recipe.scales):
        given = given_lr(frame, scale, recipe.degradation) if hr is as_read else None
        lr, cropped = pair_of(hr, scale, recipe.degradation, seed, given=given)
        if recipe.hr_patch is None:
            yield index, lr, cropped
        for draw in range(recipe.draws if corners else 0):
            if draw > 0:
                lr, cropped = pair_of(hr, scale, recipe.degradation, seed + draw * _SEED_STEP)
            for top, left in corners:
                yield index, *_cut(lr, cropped, top, left, recipe.hr_patch)


def _corners(hr, frame, recipe, shrink):
    """Where the patches with enough detail lie; the same for every scale."""
    if recipe.hr_patch is None:
        return []
    patch, step = recipe.hr_patch, math.lcm(*recipe.scales)
    height, width = (length - length % step for length in hr.shape[:2])
    corners = patch_corners(height, width, patch, step)
    if not corners:
        name = frame.image if isinstance(frame.image, Path) else f"frame {frame.number}"
        name = name if shrink == 1 else f"{name} shrunk by {shrink:g}"
        raise InputError(f"{name} is {width}x{height}, smaller than a patch of {patch}x{patch}")
    if recipe.min_detail <= 0:
        return corners
    return [
        (top, left)
        for top, left in corners
        if detail(hr[top : top + patch, left : left + patch]) >= recipe.min_detail
    ]


def given_lr(frame: Frame, scale: int, degradation: str) -> Path | None:
    """The LR file that comes with a frame (of REDS), where it is what would be made."""
    same = scale == REDS_SCALE and degradation == "bicubic"
    return frame.given_lr if same else None


def pair_of(
    hr: np.ndarray, scale: int, degradation: str, seed: int, given: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(lr, hr) of a whole frame, uint8 (h, w, 3) and (h * scale, w * scale, 3).

    Parameters
    ----------
    hr : uint8 array (H, W, 3), cut at the bottom and right to a multiple of `scale`.
    scale, degradation, seed : as for `degradations.make_pair`
    given : Path of an LR file to take instead of making LR

    Raises
    ------
    InputError if the LR file cannot be read or is of another size, or the frame is too small.
    """
    if given is None:
        return make_pair(hr, scale, degradation, seed)
    lr, hr = read_image(given), modcrop(hr, scale)
    if hr.shape[:2] != (lr.shape[0] * scale, lr.shape[1] * scale):
        height, width = hr.shape[:2]
        raise InputError(f"{given} does not fit its HR frame of {width}x{height} pixels")
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
