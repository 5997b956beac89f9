"""Read LR/HR pairs straight from folders of pictures: nothing is packed, names alone are in memory.

A picture is decoded whenever a patch of it is asked for, and LR is made of that patch and the
pixels around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from elsr_paddle.data.clips import Clip, Frame, find_clips, find_reds, split_clips
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.prepare import given_lr, noise_seed, pair_of
from elsr_paddle.data.recipe import Recipe
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.resize import modcrop

# Degradations whose LR pixel depends on nothing but the HR pixels around it, none further away than
# MARGIN LR pixels. (Noise is drawn for a whole frame.)
LOCAL = frozenset({"bicubic", "gaussian_decimate", "opencv_cubic"})
MARGIN = 4
_ORIENTATION = 0x0112  # EXIF; from 5 on, the picture is shown with its sides exchanged


class FolderPairs:
    """The pairs of pictures that stay files, with the interface of `pairs.Pairs`.

    Row for row they are what `prepare` packs of the same clips, whole. Rows may differ in size.

    Parameters
    ----------
    clips : iterable of Clip, of pictures
    scale : int, at least 2
    degradation : str, a name in degradations.DEGRADATIONS
    smallest : int, HR pixels; pictures with a shorter side are left out.
    on_error : callable that takes the InputError of each picture that is left out; None raises the
        first.

    Attributes
    ----------
    scale, degradation : as given
    clips : list of str, the clip of each row
    lr_sizes : int array (N, 2), height and width of each row
    lr_size, hr_size : (height, width) of every row, or None when the rows differ in size

    Raises
    ------
    InputError for a video, an argument out of its range, or if no picture is left.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        scale: int,
        degradation: str = "bicubic",
        *,
        smallest: int = 1,
        on_error: Callable[[InputError], object] | None = None,
    ) -> None:
        Recipe((scale,), degradation)  # refuses what is out of its range
        self.scale, self.degradation = scale, degradation
        self._clips = tuple(clips)
        rows = list(_rows(self._clips, max(smallest, scale), on_error))
        if not rows:
            raise InputError("expected pictures to train on but no one could be used")
        table = np.array(rows)  # (N, 4): clip, number in the clip, height, width
        self._frames, self.lr_sizes = table[:, :2], table[:, 2:] // scale
        self.clips = [self._clips[clip].name for clip in self._frames[:, 0]]

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def lr_size(self) -> tuple[int, int] | None:
        first = self.lr_sizes[0]
        return tuple(first.tolist()) if (self.lr_sizes == first).all() else None

    @property
    def hr_size(self) -> tuple[int, int] | None:
        return self.lr_size and tuple(self.scale * length for length in self.lr_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of one row: uint8 (h, w, 3) and (h * scale, w * scale, 3), RGB."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)  # lets `for lr, hr in pairs` end
        frame, hr, seed = self._read(index % len(self))
        given = given_lr(frame, self.scale, self.degradation)
        return pair_of(hr, self.scale, self.degradation, seed, given)

    def crop(self, index: int, top: int, left: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of a square of one row; position and side in LR pixels. May be views."""
        frame, hr, seed = self._read(index)
        window = slice(top, top + side), slice(left, left + side)
        given = given_lr(frame, self.scale, self.degradation)
        if given is None and self.degradation in LOCAL:
            lr = lr_of_window(hr, window, self.scale, self.degradation)
        else:
            lr = pair_of(hr, self.scale, self.degradation, seed, given)[0][window]
        return lr, hr[_enlarged(window, self.scale)]

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def __enter__(self) -> FolderPairs:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, index):
        """(frame, HR image cut to a multiple of the scale, seed of its noise) of a row."""
        clip_number, number = self._frames[index].tolist()
        clip = self._clips[clip_number]
        frame = clip.frame(number)
        hr = modcrop(frame.read(), self.scale)
        height, width = self.lr_sizes[index] * self.scale
        if hr.shape[:2] != (height, width):
            raise InputError(f"expected {frame.image} to give {width}x{height} pixels but got "
                             f"{hr.shape[1]}x{hr.shape[0]}; it has changed, or its header is wrong")
        return frame, hr, noise_seed(clip, frame)


def open_folder(
    folder: str | Path,
    scale: int,
    degradation: str = "bicubic",
    *,
    photos: bool = False,
    smallest: int = 1,
    on_error: Callable[[InputError], object] | None = None,
) -> tuple[FolderPairs, FolderPairs]:
    """The pairs of a folder of clips or photos, for training and for validation.

    Validation takes the folder `val` where there is one beside `train`, REDS' own validation clips,
    or else a tenth of the clips.

    Parameters
    ----------
    folder : str or Path
    photos : bool, as for `clips.find_clips`
    smallest : int, HR pixels; training pictures with a shorter side are left out.
    scale, degradation, on_error : as for `FolderPairs`

    Raises
    ------
    InputError as `FolderPairs` and `find_clips`, or if one clip is all there is.
    """
    train, val = _train_and_val(Path(folder), photos)
    if not val:
        raise InputError(f"expected at least 2 clips in {folder} but got 1, which leaves none for "
                         "validation; make folders train and val in it, or give --photos")
    return (FolderPairs(train, scale, degradation, smallest=smallest, on_error=on_error),
            FolderPairs(val, scale, degradation, on_error=on_error))


def _train_and_val(folder, photos):
    if any((folder / inner / "train_sharp").is_dir() for inner in ("", "train")):
        train, val = find_reds(folder)
        return (train, val) if val else split_clips(train)
    parts = [folder / part for part in ("train", "val")]
    if all(part.is_dir() for part in parts):
        return tuple(find_clips([part], photos) for part in parts)
    return split_clips(find_clips([folder], photos))


def lr_of_window(
    hr: np.ndarray, window: tuple[slice, slice], scale: int, degradation: str
) -> np.ndarray:
    """A window of the LR image of `hr`, bit for bit, made of the window's surroundings alone.

    Parameters
    ----------
    hr : uint8 array (h * scale, w * scale, 3)
    window : slices of rows and columns, LR pixels
    scale : int
    degradation : str, one of LOCAL
    """
    lengths = (length // scale for length in hr.shape[:2])
    around = tuple(
        slice(max(0, part.start - MARGIN), min(length, part.stop + MARGIN))
        for part, length in zip(window, lengths)
    )
    lr, _ = make_pair(hr[_enlarged(around, scale)], scale, degradation)
    return lr[tuple(slice(inner.start - outer.start, inner.stop - outer.start)
                    for inner, outer in zip(window, around))]


def _enlarged(window, scale):
    """A window of LR pixels as one of HR pixels."""
    return tuple(slice(part.start * scale, part.stop * scale) for part in window)


def _rows(clips, smallest, on_error):
    """Yield (clip, number in the clip, height, width) of every picture that can be used."""
    for clip_number, clip in enumerate(clips):
        if clip.video is not None:
            raise InputError(f"expected pictures but got {clip.video}, whose frames cannot be read "
                             "in any order; prepare it, or write its frames as pictures")
        for number in range(len(clip.paths)):
            try:
                yield clip_number, number, *_usable_size(clip.frame(number), smallest)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(error)


def _usable_size(frame: Frame, smallest):
    """(height, width) of a picture; InputError if it is no picture or too small."""
    width, height = _upright_size(frame.image)
    if min(height, width) < smallest:
        raise InputError(f"{frame.image} is {width}x{height}, smaller than a patch of "
                         f"{smallest}x{smallest}")
    return height, width


def _upright_size(path):
    """(width, height) that `read_image` will give, from the header where that is enough."""
    with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(path) as header:
        sideways = _orientation(header) >= 5
        if not (sideways and header.format == "TIFF"):  # of which Pillow's versions differ
            return header.size[::-1] if sideways else header.size
    height, width = read_image(path).shape[:2]  # says what is wrong where the header cannot be read
    return width, height


def _orientation(header):
    """EXIF's orientation, 1 for upright; where it stands behind the pixels it is not looked for."""
    known = header.format == "TIFF" or "exif" in header.info
    return header.getexif().get(_ORIENTATION, 1) if known else 1
