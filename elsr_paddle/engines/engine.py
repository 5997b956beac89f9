"""What every engine shares: checking the picture, planes and colours, and the size limit."""

from __future__ import annotations

import numpy as np

from elsr_paddle.errors import InputError

MAX_PIXELS = 2**28  # of the output: 16384 x 16384, 805 MB as RGB


class Engine:
    """A trained network, ready to enlarge pictures.

    Parameters
    ----------
    backend : object with `name`, `scale`, `channels` (1 or 3) and `run(image)`, which takes a
        C-contiguous uint8 (H, W, channels) array and returns uint8 (scale*H, scale*W, channels).
    model_name : str, as in the weights' metadata.
    reason : str, one line on why this backend was taken.
    max_pixels : int, largest output in pixels.

    Attributes
    ----------
    name, model_name, reason : str
    scale : int
    channels : int, 3 for a network on RGB, 1 for one on luma
    max_pixels : int
    """

    def __init__(self, backend, *, model_name, reason="", max_pixels=MAX_PIXELS):
        self._backend = backend
        self.name = backend.name
        self.scale = backend.scale
        self.channels = backend.channels
        self.model_name = model_name
        self.reason = reason
        self.max_pixels = max_pixels

    def upscale(self, image):
        """Enlarge a picture by `scale`.

        Parameters
        ----------
        image : uint8 array, shape (H, W, 3), RGB, range [0, 255]

        Returns
        -------
        uint8 array, shape (scale*H, scale*W, 3)

        Raises
        ------
        InputError for another type or shape, or an output above `max_pixels`.
        """
        image = self._checked(image, "(H, W, 3)", image.ndim == 3 and image.shape[2] == 3)
        return self._backend.run(image)

    def upscale_plane(self, plane):
        """Enlarge one plane, such as the luma of a video frame, by `scale`.

        Parameters
        ----------
        plane : uint8 array, shape (H, W), range [0, 255]; any row stride

        Returns
        -------
        uint8 array, shape (scale*H, scale*W)

        Raises
        ------
        InputError for another type or shape, an output above `max_pixels`, or an RGB network.
        """
        if self.channels != 1:
            raise InputError(
                f"expected a luma network but {self.model_name} works on RGB; use upscale()"
            )
        plane = self._checked(plane, "(H, W)", plane.ndim == 2)
        return self._backend.run(plane[:, :, None])[:, :, 0]

    def _checked(self, image, expected, shape_fits):
        if image.dtype != np.uint8 or not shape_fits or image.size == 0:
            raise InputError(
                f"expected uint8 {expected}, not empty, but got {image.dtype} {image.shape}"
            )
        pixels = image.shape[0] * image.shape[1] * self.scale**2
        if pixels > self.max_pixels:
            raise InputError(
                f"the output would have {pixels:,} pixels but max_pixels is {self.max_pixels:,}; "
                "raise it if you trust the picture and have the memory"
            )
        return np.ascontiguousarray(image)
