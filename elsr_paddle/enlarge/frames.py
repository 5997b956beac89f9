"""Enlarge each frame of a video: through a network, into what the encoder takes."""

from __future__ import annotations

import functools
from fractions import Fraction

import av
import numpy as np

from elsr_paddle.enlarge.sizes import compare, upscale_deep
from elsr_paddle.errors import InputError
from elsr_paddle.video.colour import (
    HDR_TRANSFERS,
    Converter,
    colour_of,
    has_alpha,
    planes_of,
    turn_filters,
)
from elsr_paddle.video.encoder import encoder_of, encoder_options, stored_as
from elsr_paddle.video.pipes import FRAMES_ALONE, PACKED, nearest_format
from elsr_paddle.video.pyav import can_rotate, display_matrix

_SHALLOW, _DEEP = "yuv420p", "yuv420p10le"
_DEEP_PASSES = 4  # through the 8-bit network for a frame of ten bits


class Frames:
    """What happens to each frame between decoder and encoder; one thread at a time.

    Parameters
    ----------
    reader : Reader
    upscaler : Upscaler
    container : str, FFmpeg's name of the output's
    options : VideoOptions
    outcome : Outcome, told what cannot be kept

    Attributes
    ----------
    codec, format : str, the encoder and the pixel format it gets
    stored_as : str, the pixel format in which the encoder takes its samples
    options : dict, the encoder's own
    colour : Colour
    matrix : list of int, by which the player is to turn the output; or None
    turns : list of (name, arguments) of filters that turn a frame before it comes here
    threads : int, of the encoder; or None
    network : dict, which network and which weights of it; None where bicubic does
    """

    def __init__(self, reader, upscaler, container, options, outcome):
        first = reader.first_frame()
        self.codec, self._layout = options.codec_for(container), options.layout
        self.threads = options.threads
        self.colour = colour_of(first, reader.stream.codec_context)
        self._set_format(first, container, options, outcome)
        if has_alpha(first) or reader.stream.metadata.get("alpha_mode") == "1":
            outcome.warn("its transparency was dropped")  # VP9 has it on the side
        # WebM and frames alone cannot ask for a rotation, and a comparison must be upright itself.
        asks = container not in ("webm", *FRAMES_ALONE) and can_rotate() and not options.layout
        self.matrix = display_matrix(first) if asks else None
        self.turns = [] if asks else turn_filters(first.rotation)
        self._set_sizes(first, upscaler)
        # One for each way, since it keeps buffers and tables: to RGB or luma, back, plain bicubic.
        self._to, self._from, self._bicubic = (Converter(self.colour) for _ in range(3))
        self._enlarged = self._way(upscaler)

    def _set_format(self, first, container, options, outcome):
        if container not in FRAMES_ALONE:
            self.format = self._pixel_format(outcome)
            self.stored_as = stored_as(self.codec, self.format) or self.format
            self.options = encoder_options(self.codec, self.format, options)
            return
        self.format = self.stored_as = options.pixel_format or nearest_format(first.format.name)
        if options.layout and self.format in PACKED:
            raise InputError(f"expected planes to compare in but got {self.format}; "
                             "choose another --pix-fmt, such as yuv444p")
        if self.colour.transfer in HDR_TRANSFERS:
            outcome.warn("it is HDR, of which frames alone cannot tell: give the next program its "
                         "transfer, primaries and matrix")
        left = Converter(self.colour).sits_left(first) if self.format == _SHALLOW else False
        self.options = {"chroma_sample_location": "left"} if left else {}

    def _pixel_format(self, outcome):
        """Ten bits stay ten where the encoder takes them; says so where not. HDR needs them."""
        deep = self.colour.deep and stored_as(self.codec, _DEEP) is not None
        if self.colour.deep and not deep:
            outcome.warn(f"its {self.colour.bits} bits became 8: {self.codec} takes no more")
        hdr = HDR_TRANSFERS.get(self.colour.transfer)
        if hdr and not deep:
            raise InputError(f"it is HDR ({hdr}), which needs ten bits in and out: use --codec "
                             "libx265, or convert it to SDR first")
        if hdr:
            outcome.warn(f"HDR ({hdr}) kept its tags, but not its mastering metadata")
        return _DEEP if deep else _SHALLOW

    def _set_sizes(self, first, upscaler):
        """Plan for the size as shown; a kept quarter turn then swaps it to the size as stored."""
        quarter = round(first.rotation / 90) % 2 == 1
        shown = (first.width, first.height) if quarter else (first.height, first.width)
        plan = upscaler.plan(*shown)
        size, self._stored = (plan.height, plan.width), shown
        if quarter and not self.turns:
            size, self._stored = size[::-1], shown[::-1]
        self._scale = plan.network
        # Where two pixels share a sample of colour, an odd last row or column goes.
        known = av.VideoFormat(self.format)
        shared = (3 - known.chroma_height(2), 3 - known.chroma_width(2))  # pixels: 1 or 2
        self._height, self._width = (max(pixels, length - length % pixels)
                                     for pixels, length in zip(shared, size))
        least = encoder_of(self.codec).least
        if min(self._height, self._width) < least:
            raise InputError(f"{self.codec} fails on frames below {least}x{least}, and these are "
                             f"{self._width}x{self._height}; choose another --codec")

    def _way(self, upscaler):
        """The way of every frame: a function of the decoded one that gives the enlarged one."""
        self.network = None
        if self._scale == 1:
            return self._by_bicubic
        engine, deep = upscaler.engine(self._scale), self.colour.deep
        self.network = {"model": engine.model_name, "scale": engine.scale,
                        "weights": engine.fingerprint}
        if engine.channels == 1 and self.format not in PACKED:
            run = engine.upscale_plane
            if self._ten_bits:
                run = functools.partial(_upscale_ten_bits, run)
            return functools.partial(self._by_luma, run)
        run = engine.upscale
        if deep:
            run = functools.partial(upscale_deep, run, passes=_DEEP_PASSES)
        if self.format in PACKED:
            return functools.partial(self._by_rgb, run)
        # The chroma planes are bicubic's here too: those of a network on RGB are worse, as the
        # colours of a film have half its resolution.
        luma = None if deep or self._ten_bits else engine.luma(self.colour.from_rgb()[0])
        if luma:
            return functools.partial(self._by_luma_of_rgb, luma)
        return functools.partial(self._by_rgb_and_bicubic, run)

    @property
    def scale(self):
        """Scale of the network; 1 where bicubic does all."""
        return self._scale

    @property
    def _ten_bits(self):
        return self.format.endswith("10le")

    @property
    def size(self):
        """(height, width) of what `enlarge` returns."""
        return self._height, self._width * (2 if self._layout == "side" else 1)

    def sample_aspect_ratio(self, stored):
        """The pixels' shape in the output, so that the picture keeps its own."""
        if stored is None or stored <= 0:
            return None
        ratio = 1 / stored if len(self.turns) == 1 else stored
        stretch = Fraction(self._stored[1] * self._height, self._stored[0] * self._width)
        # A size rounded by a pixel is no stretch.
        return ratio if abs(stretch - 1) < 0.02 else (ratio * stretch).limit_denominator(1000)

    def enlarge(self, frame):
        """The frame to encode for a decoded one, with the same time.

        Parameters
        ----------
        frame : av.VideoFrame

        Returns
        -------
        av.VideoFrame of `size` and `format`
        """
        result = self._enlarged(frame)
        if self._layout:
            result = self._beside_bicubic(frame, result)
        result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
        result.pict_type = 0  # the encoder chooses its own key frames
        return result

    def _by_bicubic(self, frame):
        return self._bicubic.resized(frame, self._width, self._height, self.format)

    def _by_rgb(self, run, frame):
        """Through a network that gives RGB."""
        image = self._trimmed(run(self._to.to_rgb(frame)))
        return self._from.from_rgb(image, frame, self._width, self._height, self.format)

    def _by_rgb_and_bicubic(self, run, frame):
        """Through a network that gives RGB, of which luma is taken; bicubic for the chroma planes.
        """
        enlarged, result = self._by_rgb(run, frame), self._by_bicubic(frame)
        planes_of(result)[0][:] = planes_of(enlarged)[0]
        return result

    def _by_luma_of_rgb(self, run, frame):
        """Through the luma of a network on RGB, see `Engine.luma`; bicubic for the chroma planes.
        """
        return self._with_luma(run(self._to.to_rgb(frame)), frame)

    def _by_luma(self, run, frame):
        """Through a network on luma; bicubic for the chroma planes."""
        if frame.format.name != self.format:
            frame = self._to.resized(frame, frame.width, frame.height, self.format)
        return self._with_luma(run(planes_of(frame)[0]), frame)

    def _with_luma(self, luma, frame):
        luma = self._trimmed(luma)
        result = self._from.resized(frame, *luma.shape[::-1], self.format)
        planes_of(result)[0][:] = luma
        return self._fitted(result)

    def _fitted(self, frame):
        fits = (frame.height, frame.width) == (self._height, self._width)
        return frame if fits else self._by_bicubic(frame)

    def _trimmed(self, image):
        """Cut an odd last row or column off; another size is left to be resized."""
        excess = {image.shape[0] - self._height, image.shape[1] - self._width}
        return image[:self._height, :self._width] if excess <= {0, 1} else image

    def _beside_bicubic(self, frame, ours):
        bicubic = self._by_bicubic(frame)
        both = av.VideoFrame(self.size[1], self.size[0], self.format)
        gray = 512 if self._ten_bits else 128
        lines = (gray * 2 - gray // 8, gray, gray)  # white enough in full and limited range
        for plane, left, right, line in zip(planes_of(both), planes_of(bicubic), planes_of(ours),
                                            lines):
            plane[:] = compare(left, right, self._layout, line)
        return both


def _upscale_ten_bits(upscale, luma):
    """Ten bits lie in the upper part of 16, as `upscale_deep` takes them, and come back."""
    deep = upscale_deep(upscale, luma << 6, _DEEP_PASSES)
    return (np.minimum(deep, 65535 - 32) + 32) >> 6
