"""Measure networks on the pictures and films that people have: compressed, noisy, badly shrunk.

Bicubic and Lanczos stand beside the networks everywhere. A method is a function here, uint8 LR
image (h, w, 3) -> uint8 image (scale * h, scale * w, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from elsr_paddle.data.degradations import Corrupted
from elsr_paddle.evaluation.protocol import PROTOCOLS, flicker, score
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.evaluation.stills import Still
from elsr_paddle.imaging.degrade import (
    JPEG,
    Bicubic,
    Degradation,
    GaussianDecimate,
    Lanczos,
    OpenCV,
    OpenCVCubic,
)
from elsr_paddle.imaging.io import is_gray_file, read_image
from elsr_paddle.imaging.jpeg import deblocked
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.imaging.resize import imresize, modcrop
from elsr_paddle.video.recode import Film

LANCZOS = "Lanczos"
RULES = PROTOCOLS["y"]
Method = Callable[[np.ndarray], np.ndarray]

# How pictures are made small and then treated; film codecs see clips, the rest pictures.
PICTURES: dict[str, Degradation] = {
    "clean": Bicubic(),
    **{f"JPEG q {quality}": Corrupted(codec=JPEG(quality)) for quality in (90, 75, 50, 30)},
    **{f"noise {level}": Corrupted(noise=level) for level in (2, 5, 10)},
}
DOWNSAMPLERS: dict[str, Degradation] = {
    "bicubic": Bicubic(),
    "Lanczos": Lanczos(),
    "area (box)": OpenCV("INTER_AREA"),
    "Gaussian blur": GaussianDecimate(),
    "cubic, not antialiased": OpenCVCubic(),
    "linear, not antialiased": OpenCV("INTER_LINEAR"),
    "nearest": OpenCV("INTER_NEAREST"),
}
FILMS: dict[str, Degradation] = {
    "clean": Bicubic(),
    **{f"H.264 CRF {crf}": Corrupted(codec=Film("libx264", crf)) for crf in (18, 23, 28, 33)},
    **{f"HEVC CRF {crf}": Corrupted(codec=Film("libx265", crf)) for crf in (23, 28, 33)},
}


@dataclass(frozen=True)
class Measured:
    """The figures of one kind of source, method -> one for each picture or clip.

    Attributes
    ----------
    psnr_db : of Y; of a clip the mean of its frames
    flicker_db : of clips alone: the mean of `protocol.flicker`
    """

    psnr_db: dict[str, list[float]] = field(default_factory=dict)
    flicker_db: dict[str, list[float]] = field(default_factory=dict)

    def gain_db(self, method: str) -> float:
        """Mean over bicubic."""
        return float(np.mean(self.psnr_db[method]) - np.mean(self.psnr_db[BICUBIC]))

    def steadier_db(self, method: str) -> float | None:
        """Mean of the flicker over bicubic's; below zero it flickers more. None for pictures."""
        if not self.flicker_db:
            return None
        return float(np.mean(self.flicker_db[method]) - np.mean(self.flicker_db[BICUBIC]))

    def below_bicubic(self, method: str) -> int:
        """The number of pictures or clips on which a method falls below bicubic."""
        return sum(ours < bicubic for ours, bicubic
                   in zip(self.psnr_db[method], self.psnr_db[BICUBIC]))

    def as_dict(self) -> dict:
        """As it stands in JSON."""
        return {"psnr_db": self.psnr_db, "flicker_db": self.flicker_db}


def methods_of(networks: dict[str, Method], scale: int) -> dict[str, Method]:
    """Bicubic, Lanczos and the networks, by their names."""
    return {BICUBIC: lambda lr: imresize(lr, scale=scale),
            LANCZOS: lambda lr: _lanczos(lr, scale), **networks}


def as_enlarged(
    methods: dict[str, Method], deblocking: Collection[str], degradation: Degradation | None
) -> dict[str, Method]:
    """The methods, those of some networks with what `elsr` does to a source of a kind before them.

    Parameters
    ----------
    methods : as of `methods_of`
    deblocking : collection of str, names of the networks that take a JPEG as
        `imaging.jpeg.deblocked` leaves it
    degradation : Degradation, the kind of source, or None for one without a codec
    """
    codec = getattr(degradation, "codec", None)
    if not isinstance(codec, JPEG):
        return methods
    steps = codec.steps
    return {name: partial(_deblock_first, enlarge, steps) if name in deblocking else enlarge
            for name, enlarge in methods.items()}


def _deblock_first(enlarge, steps, lr):
    return enlarge(deblocked(lr, steps))


def _lanczos(lr, scale):
    size = scale * lr.shape[1], scale * lr.shape[0]
    return np.array(Image.fromarray(lr).resize(size, Image.Resampling.LANCZOS))


def measure_pictures(
    stills: Sequence[Still], methods: dict[str, Method], degradation: Degradation, scale: int
) -> Measured:
    """Make each picture small, enlarge it by every method, and score them.

    Parameters
    ----------
    stills : sequence of Still, whose LR files are not used
    methods : as of `methods_of`
    degradation : Degradation, seeded by the number of the picture
    scale : int
    """
    measured = Measured({name: [] for name in methods})
    for number, still in enumerate(stills):
        hr, gray = modcrop(read_image(still.path), scale), is_gray_file(still.path)
        lr = degradation(hr[None], scale, number)[0]
        for name, enlarge in methods.items():
            found = score(hr, enlarge(lr), RULES, scale=scale, gray=gray, structure=False)
            measured.psnr_db[name].append(found.psnr_db)
    return measured


def measure_clips(
    clips: Iterable[np.ndarray], methods: dict[str, Method], degradation: Degradation, scale: int
) -> Measured:
    """As `measure_pictures`, for clips, uint8 arrays (T, H, W, 3), and with their flicker."""
    measured = Measured({name: [] for name in methods}, {name: [] for name in methods})
    for number, clip in enumerate(clips):
        height, width = modcrop(clip[0], scale).shape[:2]
        clip = clip[:, :height, :width]
        small = degradation(clip, scale, number)
        for name, enlarge in methods.items():
            large = [enlarge(lr) for lr in small]
            measured.psnr_db[name].append(float(np.mean(
                [score(hr, sr, RULES, scale=scale, structure=False).psnr_db
                 for hr, sr in zip(clip, large)])))
            measured.flicker_db[name].append(float(np.mean(
                [flicker(hr, sr, RULES, scale=scale)
                 for hr, sr in zip(zip(clip, clip[1:]), zip(large, large[1:]))])))
    return measured


class Ringing(NamedTuple):
    """How far luma goes beyond the range of the LR pixels around, in levels.

    Attributes
    ----------
    mean : float, over all pixels
    greatest : float, the 99.9th percentile
    """

    mean: float
    greatest: float


def overshoot(lr: np.ndarray, sr: np.ndarray) -> np.ndarray:
    """Levels by which each pixel of `sr` leaves the range of the 3x3 LR pixels around it, on luma.

    Parameters
    ----------
    lr : uint8 array, shape (h, w, 3)
    sr : uint8 array, shape (s * h, s * w, 3)

    Returns
    -------
    float array, shape (s * h, s * w); 0 inside the range
    """
    scale = sr.shape[0] // lr.shape[0]
    padded = np.pad(rgb_to_luma(lr).astype(float), 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))  # (h, w, 3, 3)
    least, most = (np.kron(limit((2, 3)), np.ones((scale, scale)))
                   for limit in (windows.min, windows.max))
    luma = rgb_to_luma(sr)
    return np.maximum(0, np.maximum(luma - most, least - luma))


def ringing(pictures: Iterable[np.ndarray], enlarge: Method) -> Ringing:
    """The overshoot of a method over LR pictures."""
    found = np.concatenate([overshoot(lr, enlarge(lr)).ravel() for lr in pictures])
    return Ringing(float(found.mean()), float(np.percentile(found, 99.9)))


def step_edge(height: int = 24, width: int = 32) -> np.ndarray:
    """An LR picture of a vertical edge from dark to light gray: uint8 (height, width, 3)."""
    picture = np.full((height, width, 3), 64, np.uint8)
    picture[:, width // 2:] = 192
    return picture
