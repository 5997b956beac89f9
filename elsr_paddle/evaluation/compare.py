"""What a network is worth on a picture, and bicubic on the same one, under a stated protocol."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write, natural_key
from elsr_paddle.imaging.degrade import make_pair
from elsr_paddle.imaging.io import is_gray_file, list_images, read_image
from elsr_paddle.imaging.luma import rgb_to_y
from elsr_paddle.imaging.metrics import psnr, ssim
from elsr_paddle.imaging.resize import imresize, modcrop, opencv_cubic


@dataclass(frozen=True)
class Protocol:
    """How pictures are compared; figures of two protocols cannot stand in one table."""

    name: str
    colour: str  # "y" (BT.601 luma) or "rgb"
    crops_border: bool  # whether `scale` pixels on each side are left out
    degradation: str  # how LR is made from HR unless another one is asked for
    enlarge: Callable  # bicubic: (uint8 image, (height, width)) -> uint8 image

    def border(self, scale):
        """Pixels left out on each side."""
        return scale if self.crops_border else 0


def _matlab_bicubic(image, size):
    return imresize(image, size=size)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("y", "y", True, "bicubic", _matlab_bicubic),  # the tables of stills
        Protocol("rgb", "rgb", False, "bicubic", _matlab_bicubic),  # REDS and its challenges
        Protocol("port", "rgb", False, "opencv_cubic", opencv_cubic),  # the PyTorch port's script
    )
}


@dataclass(frozen=True)
class Score:
    """How near a picture comes to another one; `ssim` is None where it was not asked for."""

    psnr_db: float  # inf when they are equal
    ssim: float | None = None  # at most 1


@dataclass(frozen=True)
class Restored:
    """What a network makes of a picture."""

    image: np.ndarray
    score: Score  # against hr
    against_bicubic_db: float  # PSNR, the original port's column; says nothing about quality


@dataclass(frozen=True)
class Item:
    """One picture, what became of it, and what that is worth. Images are uint8 (H, W, 3) RGB."""

    name: str
    lr: np.ndarray
    hr: np.ndarray  # cropped (top left) to a multiple of the scale, the size of all below
    bicubic: np.ndarray
    bicubic_score: Score  # against hr
    restored: dict[str, Restored]  # by the name of the network

    def record(self):
        """The figures alone, as a dict for `summary` and JSON."""
        height, width = self.hr.shape[:2]
        return {
            "name": self.name,
            "width": width,
            "height": height,
            "bicubic": asdict(self.bicubic_score),
            **{network: {**asdict(found.score), _AGAINST: found.against_bicubic_db}
               for network, found in self.restored.items()},
        }  # fmt: skip


_AGAINST = "psnr_against_bicubic_db"


def score(reference, restored, protocol, *, scale, gray=False, structure=True):
    """PSNR and SSIM of a restored picture, in the colour and with the border of a protocol.

    Parameters
    ----------
    reference, restored : uint8 arrays, shape (H, W, 3), RGB
    protocol : Protocol
    scale : int, decides the border
    gray : bool, the reference comes from a gray file; see `rgb_to_y`.
    structure : bool, whether SSIM, which costs most of the time, is wanted.

    Returns
    -------
    Score

    Raises
    ------
    InputError if the shapes differ or too little is left inside the border.
    """
    if protocol.colour == "y":
        # The reference in whole levels, as MATLAB's rgb2ycbcr gives it: so the bicubic baselines of
        # Set5, Set14 and B100 at x2, x3 and x4 come out within 0.008 dB of the published ones.
        reference, restored = np.rint(rgb_to_y(reference, gray)), rgb_to_y(restored, gray)
    border = protocol.border(scale)
    similarity = ssim(reference, restored, crop_border=border) if structure else None
    return Score(psnr(reference, restored, crop_border=border), similarity)


def evaluate_image(
    hr, upscalers, *, scale, protocol, degradation=None, lr=None, gray=False, seed=0, name=""
):
    """Make a picture small, enlarge it by bicubic and by networks, and score them all.

    Parameters
    ----------
    hr : uint8 array, shape (H, W, 3), RGB; cropped (top left) to a multiple of `scale` first.
    upscalers : dict, name of a network -> callable,
        uint8 (h, w, 3) -> uint8 (scale * h, scale * w, 3)
    scale : int
    protocol : Protocol
    degradation : str, a name in `degrade.DEGRADATIONS`; None takes the protocol's.
    lr : uint8 array, shape (H // scale, W // scale, 3); None makes it from `hr`.
    gray : bool, `hr` comes from a gray file.
    seed : int, of degradations that draw noise
    name : str, handed on to the Item

    Returns
    -------
    Item

    Raises
    ------
    InputError if the picture is too small, or `lr` or what a network returns has another size.
    """
    if lr is None:
        lr, hr = make_pair(hr, scale, degradation or protocol.degradation, seed)
    else:
        hr = modcrop(hr, scale)
        _of_shape(lr, (hr.shape[0] // scale, hr.shape[1] // scale, 3), "an LR image")
    bicubic = protocol.enlarge(lr, hr.shape[:2])
    rate = partial(score, protocol=protocol, scale=scale, gray=gray)
    restored = {}
    for network, upscale in upscalers.items():
        sr = _of_shape(upscale(lr), hr.shape, "an output")
        restored[network] = Restored(
            sr, rate(hr, sr), rate(bicubic, sr, structure=False).psnr_db
        )
    return Item(name, lr, hr, bicubic, rate(hr, bicubic), restored)


def _of_shape(image, shape, what):
    if image.shape != shape:
        raise InputError(f"expected {what} of {shape[1]}x{shape[0]} pixels but got "
                         f"{image.shape[1]}x{image.shape[0]}; does the scale fit?")
    return image


@dataclass(frozen=True)
class Still:
    """A picture to evaluate: its HR file, and its LR file where one is given."""

    name: str
    path: Path
    lr_path: Path | None = None


def find_stills(paths, on_error):
    """The pictures that files and folders mean, each under a name of its own.

    Parameters
    ----------
    paths : iterable of str or Path; of a folder the pictures right inside it are taken.
    on_error : callable that takes an InputError, for a folder without pictures.

    Returns
    -------
    list of Still, named by file, with as many folders before it as it takes to tell them apart.
    """
    files = [file for path in map(Path, paths) for file in _files(path, on_error)]
    files = list({file.resolve(): file for file in files}.values())
    depth = 1
    while len({_last_parts(file, depth) for file in files}) < len(files):
        depth += 1
    return [Still(_last_parts(file, depth), file) for file in files]


def _files(path, on_error):
    if not path.is_dir():
        return [path]
    found = list_images(path)
    if not found:
        on_error(InputError(f"no pictures right inside the folder {path}"))
    return found


def _last_parts(path, count):
    return "/".join(path.resolve().parts[-count:])


def find_sets(folder, scale, given_lr=True):
    """The benchmark sets below a folder: `NAME/HR`, and `NAME/LR_bicubic/X4` where it is given.

    Parameters
    ----------
    folder : str or Path; may also be a set itself.
    scale : int
    given_lr : bool, whether LR files are used where they are given, or all are made.

    Returns
    -------
    dict, name of the set -> list of Still, both in natural order.

    Raises
    ------
    InputError if there is no such set.
    """
    folder = Path(folder)
    found = [path.parent for path in (folder / "HR", *folder.glob("*/HR")) if path.is_dir()]
    sets = {root.resolve().name: _set_stills(root, scale, given_lr)
            for root in sorted(found, key=natural_key)}
    if not any(sets.values()):
        raise InputError(f"no benchmark set in {folder}; expected folders such as Set5/HR in it")
    return sets


def _set_stills(root, scale, given_lr):
    """Pairs of files; LR files are called as their HR file, with or without `x4` after the name."""
    lr_root = root / "LR_bicubic" / f"X{scale}"
    lr_paths = list_images(lr_root) if given_lr and lr_root.is_dir() else []
    given = {path.stem: path for path in lr_paths}
    return [
        Still(path.name, path, given.get(f"{path.stem}x{scale}", given.get(path.stem)))
        for path in list_images(root / "HR")
    ]


def evaluate_stills(stills, upscalers, *, on_error, **options):
    """Evaluate files one after the other; what cannot be read is reported and left out.

    Parameters
    ----------
    stills : iterable of Still
    upscalers, **options : as for `evaluate_image`
    on_error : callable that takes an InputError, which names the file.

    Yields
    ------
    Item
    """
    for still in stills:
        try:
            lr = read_image(still.lr_path) if still.lr_path else None
            hr, gray = read_image(still.path), is_gray_file(still.path)
            item = evaluate_image(hr, upscalers, lr=lr, gray=gray, name=still.name, **options)
        except InputError as error:
            on_error(_naming(still.path, error))
            continue
        yield item


def evaluate_frames(numbered_frames, upscalers, *, on_error, **options):
    """Evaluate the frames of a clip one after the other, as `evaluate_stills` does files.

    Parameters
    ----------
    numbered_frames : iterable of (int, uint8 array (H, W, 3)), from `video.numbered_frames`; the
        number is the Item's name and the seed of a degradation that draws noise.
    """
    for number, hr in numbered_frames:
        try:
            item = evaluate_image(hr, upscalers, seed=number, name=str(number), **options)
        except InputError as error:
            on_error(_naming(f"frame {number}", error))
            continue
        yield item


def _naming(what, error):
    return error if str(what) in str(error) else InputError(f"{what}: {error}")


def summary(records):
    """The mean of every figure over the records of one set or clip, and the records.

    The mean of a PSNR is the mean of the pictures' values in dB. Pictures that one of the methods
    restores without any error (PSNR inf; black frames do that) are left out of the PSNR means of
    all of them, so that the means stay finite and over the same pictures.

    Parameters
    ----------
    records : list of dict, from `Item.record`; not empty.

    Returns
    -------
    dict: {"mean": {method: {figure: float}}, "items": records}; a PSNR mean is inf if no picture
    with finite ones is left.
    """
    methods = [key for key, value in records[0].items() if isinstance(value, dict)]
    finite = [r for r in records if all(math.isfinite(r[m]["psnr_db"]) for m in methods)]
    mean = {
        method: {
            figure: _mean(finite if figure == "psnr_db" else records, method, figure)
            for figure in records[0][method]
        }
        for method in methods
    }
    return {"mean": mean, "items": records}


def _mean(records, method, figure):
    """Mean of the finite values; inf if there is none."""
    values = [record[method][figure] for record in records]
    values = [value for value in values if math.isfinite(value)]
    return math.fsum(values) / len(values) if values else math.inf


def write_json(path, figures):
    """Write nested dicts of figures; an infinite PSNR (equal pictures) becomes null.

    JSON has no word for infinity, and what Python writes for it other readers refuse.
    """
    with atomic_write(path) as temporary:
        text = json.dumps(_finite_or_none(figures), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite_or_none(value):
    if isinstance(value, dict):
        return {key: _finite_or_none(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite_or_none(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(path, records):
    """Write records as a table, a line each and a column for each figure: `bicubic_psnr_db`, ..."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = [_flat(record) for record in records]
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _flat(record):
    flat = {}
    for key, value in record.items():
        nested = value.items() if isinstance(value, dict) else [(None, value)]
        flat.update({f"{key}_{inner}" if inner else key: figure for inner, figure in nested})
    return flat
