"""Compare networks with bicubic: make an image small, enlarge it by each of them, and score it.

A network is a function here, uint8 LR image (h, w, 3) -> uint8 image (scale * h, scale * w, 3);
nothing in this module knows what computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import PROTOCOLS, EvaluationOptions, Score, flicker, score
from elsr_paddle.evaluation.results import BICUBIC, NetworkScore, Record
from elsr_paddle.evaluation.stills import Still
from elsr_paddle.imaging.io import is_gray_file, read_image
from elsr_paddle.imaging.resize import modcrop

if TYPE_CHECKING:
    from elsr_paddle.data.pairs import Pairs

Upscale = Callable[[np.ndarray], np.ndarray]  # uint8 (h, w, 3) -> uint8 (scale * h, scale * w, 3)


@dataclass(frozen=True)
class Restored:
    """What a network makes of an image: uint8 (H, W, 3) RGB, and its score."""

    image: np.ndarray
    score: NetworkScore


@dataclass(frozen=True)
class Item:
    """One image, its enlargements and their scores. Images are uint8 (H, W, 3) RGB.

    Attributes
    ----------
    name : str
    lr : array (h, w, 3)
    hr : array, cropped (top left) to a multiple of the scale, the size of those below
    bicubic : array
    bicubic_score : Score against `hr`
    restored : dict, name of a network -> Restored
    flicker_db : dict, as `Record.flicker_db`
    """

    name: str
    lr: np.ndarray
    hr: np.ndarray
    bicubic: np.ndarray
    bicubic_score: Score
    restored: dict[str, Restored]
    flicker_db: dict[str, float | None] = field(default_factory=dict)

    def record(self) -> Record:
        """The scores without the images."""
        height, width = self.hr.shape[:2]
        scores = {BICUBIC: self.bicubic_score}
        scores.update({network: found.score for network, found in self.restored.items()})
        return Record(self.name, width, height, scores, self.flicker_db)

    @property
    def images(self) -> dict[str, np.ndarray]:
        """Method -> its image: `BICUBIC` first, then every network by its name."""
        return {BICUBIC: self.bicubic,
                **{network: found.image for network, found in self.restored.items()}}


def evaluate_image(
    hr: np.ndarray,
    upscalers: dict[str, Upscale],
    options: EvaluationOptions,
    *,
    lr: np.ndarray | None = None,
    gray: bool = False,
    seed: int = 0,
    name: str = "",
) -> Item:
    """Make an image small, enlarge it by bicubic and by networks, and score them all.

    Parameters
    ----------
    hr : uint8 array, shape (H, W, 3), RGB; cropped (top left) to a multiple of the scale first
    upscalers : dict, name of a network -> callable, uint8 LR image -> uint8 image
    options : EvaluationOptions
    lr : uint8 array, shape (H // scale, W // scale, 3); None makes it from `hr`.
    gray : bool, `hr` comes from a gray file.
    seed : int, of degradations that draw noise
    name : str, handed on to the Item

    Raises
    ------
    InputError if the image is too small, or `lr` or what a network returns has another size.
    """
    lr, hr = _pair(hr, lr, options, seed)
    bicubic = options.rules.enlarge(lr, hr.shape[:2])
    rate = partial(score, protocol=options.rules, scale=options.scale, gray=gray)
    restored = {network: _restored(upscale(lr), hr, bicubic, rate)
                for network, upscale in upscalers.items()}
    return Item(name, lr, hr, bicubic, rate(hr, bicubic), restored)


def _pair(hr, lr, options, seed):
    """The LR image that is given, or is made, and the HR image cropped to fit it."""
    if lr is None:
        return make_pair(hr, options.scale, options.lr_kind, seed)
    hr = modcrop(hr, options.scale)
    height, width = (side // options.scale for side in hr.shape[:2])
    return _of_shape(lr, (height, width, 3), "an LR image"), hr


def _restored(sr, hr, bicubic, rate):
    _of_shape(sr, hr.shape, "an output")
    against_hr, against_bicubic = rate(hr, sr), rate(bicubic, sr, structure=False)
    return Restored(sr, NetworkScore(against_hr.psnr_db, against_hr.ssim, against_bicubic.psnr_db))


def _of_shape(image, shape, what):
    if image.shape != shape:
        raise InputError(f"expected {what} of {shape[1]}x{shape[0]} pixels but got "
                         f"{image.shape[1]}x{image.shape[0]}; does the scale fit?")
    return image


def evaluate_stills(
    stills: Iterable[Still],
    upscalers: dict[str, Upscale],
    options: EvaluationOptions,
    on_error: Callable[[InputError], None],
) -> Iterator[Item]:
    """Evaluate files one after the other; one that cannot be read is reported and left out.

    Parameters
    ----------
    stills : iterable of Still; its number seeds a degradation that draws.
    upscalers, options : as for `evaluate_image`
    on_error : callable that takes an InputError, which names the file
    """
    for number, still in enumerate(stills):
        try:
            lr = read_image(still.lr_path) if still.lr_path else None
            hr, gray = read_image(still.path), is_gray_file(still.path)
            item = evaluate_image(hr, upscalers, options, lr=lr, gray=gray, seed=number,
                                  name=still.name)
        except InputError as error:
            on_error(_naming(still.path, error))
            continue
        yield item


def evaluate_frames(
    numbered_frames: Iterable[tuple[int, np.ndarray]],
    upscalers: dict[str, Upscale],
    options: EvaluationOptions,
    on_error: Callable[[InputError], None],
) -> Iterator[Item]:
    """Evaluate the frames of a clip one after the other, as `evaluate_stills` does files.

    Parameters
    ----------
    numbered_frames : iterable of (int, uint8 array (H, W, 3)), as a clip's reader yields them; the
        number is the Item's name and the seed of a degradation that draws noise.
    upscalers, options, on_error : as for `evaluate_stills`
    """
    before = None
    for number, hr in numbered_frames:
        try:
            item = evaluate_image(hr, upscalers, options, seed=number, name=str(number))
        except InputError as error:
            on_error(_naming(f"frame {number}", error))
            continue
        yield replace(item, flicker_db=_flicker(before, item, options))
        before = item


def _flicker(before, item, options):
    """Method -> dB since the frame before, or None where there is none of that size."""
    if before is None or before.hr.shape != item.hr.shape:
        return dict.fromkeys(item.images)
    return {method: flicker((before.hr, item.hr), (before.images[method], image), options.rules,
                            scale=options.scale)
            for method, image in item.images.items()}


def _naming(what, error):
    return error if str(what) in str(error) else InputError(f"{what}: {error}")


def mean_psnr(upscale: Upscale, pairs: Pairs, rows: int) -> dict[str, float]:
    """Mean PSNR over pairs: full-frame RGB, and Y without a border of `scale` pixels.

    This is the validation of a training run.

    Parameters
    ----------
    upscale : callable, uint8 LR image -> uint8 image
    pairs : Pairs
    rows : int, how many of them, spread evenly

    Returns
    -------
    dict with "rgb_db" and "y_db", means of the images' values in dB.
    """
    chosen = np.unique(np.linspace(0, len(pairs) - 1, rows).astype(int))
    psnr_db = {"rgb": [], "y": []}
    for lr, hr in (pairs[row] for row in chosen):
        sr = upscale(lr)
        for name, values in psnr_db.items():
            found = score(hr, sr, PROTOCOLS[name], scale=pairs.scale, structure=False)
            values.append(found.psnr_db)
    return {f"{name}_db": float(np.mean(values)) for name, values in psnr_db.items()}
