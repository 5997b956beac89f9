"""Name the degradations and make pairs by them: one function makes every pair, for all uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elsr_paddle.errors import InputError, needs
from elsr_paddle.imaging.degrade import (
    JPEG,
    Bicubic,
    BlurNoise,
    Degradation,
    GaussianDecimate,
    Lanczos,
    OpenCV,
    OpenCVCubic,
    blurred,
    noisy,
)
from elsr_paddle.imaging.resize import check_image, modcrop

Codec = Callable[[np.ndarray], np.ndarray]  # uint8 (T, H, W, 3) -> the same, as decoded

_NEIGHBOURS = 5  # frames that a photo gets beside it where a film's codec shall see it
_AT_REST = 0.2  # share of photos that stand still as films
_FASTEST = 2.0  # LR pixels that a photo moves from frame to frame, along each axis
_ZOOM = 0.01  # by which it grows or shrinks from frame to frame


@dataclass(frozen=True)
class Corrupted(Degradation):
    """A way of shrinking, with blur before it, and noise and a codec after it.

    Attributes
    ----------
    shrink : Degradation
    blur : float, standard deviation in LR pixels
    noise : float, standard deviation in levels of 0..255
    codec : callable, uint8 clip (T, H, W, 3) -> the same, as decoded; None for none
    in_time : bool, whether the codec looks at more than one frame. A picture then becomes one frame
        of a film that pans and zooms, so that it is predicted from others as a film's frames are.
    """

    shrink: Degradation = Bicubic()
    blur: float = 0.0
    noise: float = 0.0
    codec: Codec | None = None
    in_time: bool = False

    def __call__(self, clip, scale, seed=0):
        alone = self.in_time and len(clip) == 1
        clip, place = moved(clip[0], _FASTEST * scale, seed) if alone else (clip, 0)
        lr = super().__call__(clip, scale, seed)
        if self.codec is not None:
            lr = self.codec(lr)
        return lr[place:place + 1] if alone else lr

    def frame(self, hr, scale, seed):
        lr = self.shrink.frame(blurred(hr, self.blur * scale), scale, seed)
        return noisy(lr, self.noise, seed)


def moved(photo: np.ndarray, fastest: float, seed: int) -> tuple[np.ndarray, int]:
    """A film that pans over a photo and zooms, by fractions of a pixel.

    Parameters
    ----------
    photo : uint8 array, shape (H, W, 3)
    fastest : float, pixels from frame to frame, along each axis
    seed : int, of direction, speed and place

    Returns
    -------
    film : uint8 array, shape (T, H, W, 3)
    place : int, the frame that is the photo itself
    """
    cv2 = needs("cv2", extra="opencv")
    rng = np.random.default_rng(seed)
    moves = rng.random() >= _AT_REST
    pan = moves * rng.uniform(-fastest, fastest, 2)
    zoom = 1 + moves * rng.uniform(-_ZOOM, _ZOOM)
    place = int(rng.integers(_NEIGHBOURS + 1))
    height, width = photo.shape[:2]
    centre = np.array([width, height]) / 2
    film = []
    for step in range(-place, _NEIGHBOURS + 1 - place):
        factor = zoom**step
        matrix = np.column_stack([factor * np.eye(2), step * pan + (1 - factor) * centre])
        film.append(photo if step == 0 else cv2.warpAffine(
            photo, matrix, (width, height), flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101))
    return np.stack(film), place


@dataclass(frozen=True)
class OneOf(Degradation):
    """One of several degradations for each clip.

    Attributes
    ----------
    ways : tuple of (share, Degradation)
    """

    ways: tuple[tuple[float, Degradation], ...]

    def __call__(self, clip, scale, seed=0):
        return self.drawn(seed)(clip, scale, seed)

    def drawn(self, seed: int) -> Degradation:
        """The degradation of one clip."""
        shares, ways = zip(*self.ways)
        return ways[np.random.default_rng((seed, 2)).choice(len(ways), p=shares)]


@dataclass(frozen=True)
class Compressed(Degradation):
    """What films and photos of people have been through: each clip has a draw of its own.

    It is shrunk in one of several ways, some clips with a slight blur, and then left as it is, made
    noisy, or sent through JPEG, H.264 or HEVC, a share of these with noise before it.

    Attributes
    ----------
    shrink : OneOf, how it is shrunk
    blur : float, largest standard deviation in LR pixels, of a share of `blur_share`
    clean, noisy, jpeg, h264 : float, shares; the rest goes through HEVC.
    grainy : float, share of what goes through a codec that has noise before it
    noise : float, largest standard deviation in levels
    quality : (least, most) of JPEG
    crf : (least, most) of H.264 and HEVC
    deblock : bool, whether JPEGs are deblocked
    """

    shrink: OneOf = OneOf((
        (0.80, Bicubic()), (0.10, Lanczos()), (0.10, OpenCV("INTER_AREA"))))
    blur: float = 0.5
    blur_share: float = 0.05
    clean: float = 0.22
    noisy: float = 0.10
    grainy: float = 0.05
    jpeg: float = 0.28
    h264: float = 0.24
    noise: float = 12.0
    quality: tuple[int, int] = (50, 92)
    crf: tuple[int, int] = (18, 36)
    deblock: bool = False

    def __call__(self, clip, scale, seed=0):
        return self.drawn(seed)(clip, scale, seed)

    def drawn(self, seed: int) -> Corrupted:
        """The degradation of one clip."""
        rng = np.random.default_rng((seed, 1))
        shrink = self.shrink.drawn(seed)
        blur = self.blur * rng.random() * (rng.random() < self.blur_share)
        noise, grainy = self.noise * rng.random(), rng.random() < self.grainy
        quality, crf = (int(rng.integers(least, most + 1))
                        for least, most in (self.quality, self.crf))
        kinds = {"clean": self.clean, "noisy": self.noisy, "jpeg": self.jpeg, "h264": self.h264}
        kind = rng.choice([*kinds, "hevc"], p=[*kinds.values(), 1 - sum(kinds.values())])
        if kind == "clean":
            return Corrupted(shrink, blur)
        if kind == "noisy":
            return Corrupted(shrink, blur, noise)
        codec = JPEG(quality, self.deblock) if kind == "jpeg" else _film_codec(kind, crf)
        return Corrupted(shrink, blur, grainy * noise, codec, kind != "jpeg")


def _film_codec(kind, crf):
    from elsr_paddle.video.recode import Film  # and with it PyAV, for which no other pair waits

    return Film({"h264": "libx264", "hevc": "libx265"}[kind], crf)


# The names are recorded in every file of pairs.
DEGRADATIONS: dict[str, Degradation] = {
    # A third is antialiased. A network that has seen both kinds tells them apart, pixel by pixel,
    # so one that is taken in vain costs little.
    "aliased": OneOf((
        (0.24, Bicubic()), (0.04, Lanczos()), (0.06, OpenCV("INTER_AREA")),
        (0.18, OpenCVCubic()), (0.18, OpenCV("INTER_LINEAR")), (0.30, OpenCV("INTER_NEAREST")))),
    "area": OpenCV("INTER_AREA"),
    "bicubic": Bicubic(),
    "blur_noise": BlurNoise(),
    "compressed": Compressed(),
    "gaussian_decimate": GaussianDecimate(),
    "jpeg": Compressed(clean=0.0, noisy=0.0, jpeg=1.0, h264=0.0, quality=(20, 72), deblock=True),
    "lanczos": Lanczos(),
    "opencv_cubic": OpenCVCubic(),
    "opencv_linear": OpenCV("INTER_LINEAR"),
}


def make_pair(
    hr: np.ndarray, scale: int, degradation: str = "bicubic", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The LR image of `hr`, and `hr` cropped (top left) to a multiple of `scale`.

    Parameters
    ----------
    hr : uint8 array, shape (H, W, 3) or (H, W), range 0..255
    scale : int, 1 or more
    degradation : a name in DEGRADATIONS
    seed : int, of all that is random, as noise; give each image its own.

    Returns
    -------
    (lr, hr) : uint8 arrays, shapes (h, w, ...) and (h * scale, w * scale, ...)

    Raises
    ------
    InputError if the name is unknown or the image smaller than one LR pixel.
    """
    lr, hr = make_clip_pair(hr[None], scale, degradation, seed)
    return lr[0], hr[0]


def make_clip_pair(
    clip: np.ndarray, scale: int, degradation: str = "bicubic", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The LR clip of an HR clip, and that cropped; as `make_pair`, for arrays (T, H, W, ...).

    Raises
    ------
    InputError as `make_pair`.
    """
    check_image(clip[0])
    if degradation not in DEGRADATIONS:
        raise InputError(
            f"expected a degradation in {', '.join(DEGRADATIONS)} but got {degradation!r}"
        )
    height, width = modcrop(clip[0], scale).shape[:2]
    clip = clip[:, :height, :width]
    return DEGRADATIONS[degradation](clip, scale, seed), clip
