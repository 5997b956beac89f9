"""Render the demo set: short clips with motion, from the photos inside scikit-image.

Those photos come with the package, so nothing is downloaded. A clip is a camera that pans, zooms
and turns over one photo in steps of fractions of a pixel, so that no two frames sample it alike.
The photo of the validation clip is in no training clip.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elsr_paddle.data.clips import Clip
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.prepare import prepare
from elsr_paddle.data.recipe import Job, Recipe
from elsr_paddle.errors import InputError, needs
from elsr_paddle.imaging.io import list_images, write_image

SCALES = (2, 4)
HR_PATCH = 256  # side of the stored training patches, pixels; the frames differ in size
_SUPERSAMPLING = 3  # samples per pixel of a frame and axis


@dataclass(frozen=True)
class Shot:
    """A move of the camera over a photo, in equal steps from a first to a last pose.

    A pose is (zoom, degrees, down, right). Zoom is in photo pixels per frame pixel and never below
    1, so nothing is enlarged. The frame is turned by `degrees` about its centre. `down` and `right`
    go from 0 to 1, as far as the frame fits into the photo.
    """

    photo: str  # the function of skimage.data that loads it
    size: tuple[int, int]  # (height, width) of the frames, multiples of 12 for x2, x3 and x4
    frames: int
    first: tuple[float, float, float, float]
    last: tuple[float, float, float, float]


# fmt: off
TRAIN = (
    Shot("chelsea",           (264, 420), 12, (1.05, -1.0, 0.9, 0.1), (1.0, 0.8, 0.1, 0.9)),
    Shot("coffee",            (312, 540), 12, (1.0, 0.5, 0.2, 0.0),   (1.08, -1.0, 0.8, 1.0)),
    Shot("rocket",            (324, 576), 12, (1.08, 1.5, 1.0, 0.8),  (1.0, -1.0, 0.3, 0.2)),
    Shot("stereo_motorcycle", (372, 660), 12, (1.0, -1.5, 0.1, 0.9),  (1.08, 1.0, 1.0, 0.1)),
    Shot("hubble_deep_field", (504, 900),  6, (1.0, 2.0, 0.3, 0.1),   (1.07, 0.0, 0.6, 0.9)),
)
VAL = (
    Shot("astronaut",         (252, 456), 24, (1.0, -1.0, 0.0, 0.4),  (1.08, 1.5, 0.5, 0.8)),
)
# fmt: on
SPLITS = {"train": TRAIN, "val": VAL}
PAIR_FILES = tuple(f"{split}_x{scale}.h5" for split in SPLITS for scale in SCALES)


def ensure(folder: str | Path, progress: Callable[..., Iterable] | None = None) -> Path:
    """Build the demo set under `folder` unless it is there already.

    It is built beside its place and then renamed: there is a whole demo set or none, also when
    two processes build it at once. Takes about 180 MB.

    Parameters
    ----------
    folder : str or Path; gets `train/<clip>/00000000.png`, `val/<clip>/...` and the pairs of both
        as `train_x2.h5`, `train_x4.h5`, `val_x2.h5`, `val_x4.h5`.
    progress : callable(iterable, *, total, desc) that returns the iterable, such as tqdm.

    Returns
    -------
    Path, the folder.

    Raises
    ------
    InputError if the folder holds something else, or a damaged demo set.
    """
    folder = Path(folder)
    if is_complete(folder):
        return folder
    if folder.exists():
        raise InputError(
            f"expected the demo set in {folder} but files are missing; remove the folder to have "
            "it built again, or give the path of your own data"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        _build(building, progress)
        _put_in_place(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def is_complete(folder: str | Path) -> bool:
    """Whether `folder` holds every clip and every file of pairs of the demo set."""
    shots = [Path(folder) / split / shot.photo for split in SPLITS for shot in SPLITS[split]]
    pairs = [Path(folder) / name for name in PAIR_FILES]
    return all(path.is_dir() for path in shots) and all(path.is_file() for path in pairs)


def _put_in_place(building, folder):
    """Rename; when another process was faster, its demo set is as good."""
    building.chmod(0o755)  # temporary folders are private
    try:
        building.rename(folder)
    except OSError:
        if not is_complete(folder):
            raise


def _build(folder, progress):
    shots = [(split, shot) for split, group in SPLITS.items() for shot in group]
    for split, shot in progress(shots, total=len(shots), desc="demo") if progress else shots:
        for index, frame in enumerate(render(shot)):
            write_image(folder / split / shot.photo / f"{index:08d}.png", frame)
    train, val = ([_clip(folder / split / s.photo) for s in SPLITS[split]] for split in SPLITS)
    job = Job(progress=progress, source="photos of scikit-image")
    prepare(train, val, folder, Recipe(scales=SCALES, hr_patch=HR_PATCH), job)


def _clip(folder):
    return Clip(folder.name, tuple(list_images(folder)))


def render(shot: Shot) -> Iterator[np.ndarray]:
    """Yield the frames of a shot.

    Each frame is sampled three times as finely as its pixels, by cubic interpolation, and averaged
    down: antialiased, and as sharp as the photo allows.

    Parameters
    ----------
    shot : Shot

    Yields
    ------
    uint8 array (H, W, 3), RGB.
    """
    photo = load_photo(shot.photo)
    for progress in np.linspace(0, 1, shot.frames):
        yield _frame(photo, shot, progress)


def load_photo(name: str) -> np.ndarray:
    """A colour photo that ships inside scikit-image, uint8 (H, W, 3) RGB."""
    loaded = getattr(needs("skimage", "train").data, name)()
    return loaded[0] if isinstance(loaded, tuple) else loaded  # of a stereo pair, the left one


def calibration_photos(scale: int, degradation: str) -> Iterator[np.ndarray]:
    """Yield an LR picture of each photo that training clips are made of.

    Parameters
    ----------
    scale : int
    degradation : str, a name in degradations.DEGRADATIONS

    Yields
    ------
    uint8 array (H, W, 3), RGB
    """
    for shot in TRAIN:
        yield make_pair(load_photo(shot.photo), scale, degradation)[0]


def _frame(photo, shot, progress):
    """The frame at `progress` (0 first, 1 last) of the shot."""
    cv2 = needs("cv2", "opencv")
    height, width = shot.size
    fine = _photo_from_frame(photo.shape, shot, progress) @ _frame_from_fine()
    sampled = cv2.warpAffine(
        photo,
        fine[:2],
        (width * _SUPERSAMPLING, height * _SUPERSAMPLING),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return cv2.resize(sampled, (width, height), interpolation=cv2.INTER_AREA)


def _frame_from_fine():
    """3x3 matrix from fine samples to frame pixels: pixel centres lie on whole numbers in both."""
    shift = (1 / _SUPERSAMPLING - 1) / 2
    return np.array([[1 / _SUPERSAMPLING, 0, shift], [0, 1 / _SUPERSAMPLING, shift], [0, 0, 1]])


def _photo_from_frame(shape, shot, progress):
    """3x3 matrix from frame pixels (x, y) to photo pixels (x, y)."""
    first, last = np.array(shot.first), np.array(shot.last)
    zoom, degrees, down, right = first + (last - first) * progress
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = zoom * np.array([[cos, -sin], [sin, cos]])
    frame_centre = (np.array(shot.size[::-1]) - 1) / 2  # (x, y)
    photo_end = np.array(shape[1::-1]) - 1
    reach = np.abs(turn) @ frame_centre  # how far the turned frame extends from its centre
    if (2 * reach > photo_end).any():
        raise InputError(f"expected frames that fit into {shot.photo} but got {shot}")
    photo_centre = reach + np.array([right, down]) * (photo_end - 2 * reach)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = photo_centre - turn @ frame_centre
    return matrix
