"""Shrink HR images and corrupt them: each way is a frozen dataclass with its strengths as fields.

A degradation takes a whole clip, since a video codec looks at more than one frame. A picture is a
clip of one frame. `data.degradations` has the table of their names.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from elsr_paddle.errors import needs
from elsr_paddle.imaging.jpeg import deblocked, luma_steps
from elsr_paddle.imaging.resize import apply, imresize, opencv_cubic, weights


@dataclass(frozen=True)
class Degradation:
    """How a clip of LR images is made from one of HR; a subclass has its strengths as fields.

    One that treats each frame by itself defines `frame`; one that sees the clip, `__call__`.
    """

    def __call__(self, clip: np.ndarray, scale: int, seed: int = 0) -> np.ndarray:
        """The LR clip.

        Parameters
        ----------
        clip : uint8 array, shape (T, H, W, 3), RGB, or (T, H, W), H and W multiples of the scale
        scale : int
        seed : int, of all that is random

        Returns
        -------
        uint8 array, shape (T, H / scale, W / scale, ...)
        """
        return np.stack([self.frame(hr, scale, seed + index) for index, hr in enumerate(clip)])

    def frame(self, hr: np.ndarray, scale: int, seed: int) -> np.ndarray:
        """The LR image of one frame: uint8 (H, W, ...) -> uint8 (H / scale, W / scale, ...)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Bicubic(Degradation):
    """MATLAB's antialiased bicubic: the degradation of the published tables and of REDS."""

    def frame(self, hr, scale, seed):
        # MATLAB users write imresize(hr, 1/scale); giving the size keeps the count exact at any
        # scale.
        return imresize(hr, size=(hr.shape[0] // scale, hr.shape[1] // scale))


@dataclass(frozen=True)
class BlurNoise(Degradation):
    """Gaussian blur, then bicubic, then Gaussian noise drawn from the seed: a cheap camera."""

    blur: float = 0.25  # standard deviation in LR pixels: 1 HR pixel at x4
    noise: float = 3.0  # standard deviation in levels of 0..255

    def frame(self, hr, scale, seed):
        lr = Bicubic().frame(blurred(hr, self.blur * scale), scale, seed)
        return noisy(lr, self.noise, seed)


@dataclass(frozen=True)
class GaussianDecimate(Degradation):
    """Gaussian blur, then every `scale`-th value along each axis.

    The blur is evaluated at the centre of each scale x scale cell (between pixels when the scale is
    even), so the LR image is not shifted and flipping commutes with degrading.
    """

    blur: float = 0.4  # standard deviation in LR pixels: the usual 1.6 HR pixels at x4

    def frame(self, hr, scale, seed):
        for axis in (0, 1):
            length = hr.shape[axis]
            taps = weights(length, length // scale, 1 / scale, self._density, 8 * self.blur)
            hr = apply(taps, hr, axis)
        return hr

    def _density(self, x):
        return np.exp(-0.5 * (x / self.blur) ** 2)


@dataclass(frozen=True)
class OpenCVCubic(Degradation):
    """OpenCV's cubic without antialiasing, as the PyTorch port does: for comparison only."""

    def frame(self, hr, scale, seed):
        return opencv_cubic(hr, (hr.shape[0] // scale, hr.shape[1] // scale))


@dataclass(frozen=True)
class Lanczos(Degradation):
    """Pillow's Lanczos, which antialiases: what many programs for photos take."""

    def frame(self, hr, scale, seed):
        size = hr.shape[1] // scale, hr.shape[0] // scale
        return np.array(Image.fromarray(hr).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class OpenCV(Degradation):
    """OpenCV's resize with another interpolation than cubic; of these only INTER_AREA antialiases.

    INTER_LINEAR is its default.
    """

    interpolation: str = "INTER_AREA"

    def frame(self, hr, scale, seed):
        cv2 = needs("cv2", extra="opencv")
        size = hr.shape[1] // scale, hr.shape[0] // scale
        return cv2.resize(hr, size, interpolation=getattr(cv2, self.interpolation))


@dataclass(frozen=True)
class JPEG:
    """A JPEG file between camera and reader, one a frame.

    Attributes
    ----------
    quality : int, 1 to 95, as libjpeg counts; colour is kept at half the resolution, as usual.
    deblock : bool, whether the reader deblocks it, as `elsr` does
    """

    quality: int
    deblock: bool = False

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """uint8 (T, H, W, ...) -> the same, as decoded."""
        frames = [np.array(self._file_of(frame)) for frame in clip]
        return np.stack([deblocked(frame, self.steps) if self.deblock else frame
                         for frame in frames])

    @property
    def steps(self) -> list[int]:
        """The 64 quantisation steps of luma, row by row."""
        return luma_steps(self._file_of(np.zeros((8, 8), np.uint8)))

    def _file_of(self, frame):
        memory = io.BytesIO()
        Image.fromarray(frame).save(memory, "jpeg", quality=self.quality)
        return Image.open(memory)


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian blur of a uint8 image; `deviation` in its pixels, 0 for none."""
    if not deviation:
        return image
    cv2 = needs("cv2", extra="opencv")
    return cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)


def noisy(image: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """A uint8 image with Gaussian noise; `deviation` in levels, 0 for none."""
    if not deviation:
        return image
    noise = np.random.default_rng(seed).normal(0.0, deviation, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
