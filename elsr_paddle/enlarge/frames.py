"""What happens to each frame of a video: through a network, and into what the encoder takes."""

from __future__ import annotations

import functools
from fractions import Fraction

import av
import numpy as np

from elsr_paddle.enlarge.sizes import compare, run_network, upscale_deep
from elsr_paddle.errors import InputError
from elsr_paddle.video.colour import (
    HDR_TRANSFERS,
    Converter,
    colour_of,
    frame_of_rows,
    has_alpha,
    planes_of,
    turn_filters,
)
from elsr_paddle.video.pyav import display_matrix

_SHALLOW, _DEEP = "yuv420p", "yuv420p10le"
_DEEP_PASSES = 4  # through the 8-bit network for a frame of ten bits


class Frames:
    """What happens to each frame between decoder and encoder; one thread at a time.

    Parameters
    ----------
    source : av.VideoStream
    first : av.VideoFrame, as decoded
    upscaler : Upscaler
    codec : str
    keep_rotation : bool; False turns the pixels instead.
    layout : None, "split" or "side"
    outcome : Outcome
    """

    def __init__(self, source, first, upscaler, codec, keep_rotation, layout, outcome):
        self.codec, self.outcome, self._layout = codec, outcome, layout
        self.colour = colour_of(first, source.codec_context)
        self.format = self._pixel_format()
        if has_alpha(first) or source.metadata.get("alpha_mode") == "1":  # VP9 has it on the side
            outcome.warn("its transparency was dropped")
        self.matrix = display_matrix(first) if keep_rotation else None
        self.turns = [] if keep_rotation else turn_filters(first.rotation)
        self._set_sizes(first, upscaler)
        self._engine = upscaler.engine(self._scale) if self._scale > 1 else None
        # One for each way, since it keeps buffers and tables: to RGB or luma, back, plain bicubic.
        self._to, self._from, self._bicubic = (Converter(self.colour) for _ in range(3))
        self._direct = self._straight_to_planes(first)

    def _pixel_format(self):
        """Ten bits stay ten where the encoder takes them; says so where not. HDR needs them."""
        deep = _DEEP in _pixel_formats(self.codec) and self.colour.deep
        if self.colour.deep and not deep:
            self.outcome.warn(f"its {self.colour.bits} bits became 8: {self.codec} takes no more")
        hdr = HDR_TRANSFERS.get(self.colour.transfer)
        if hdr and not deep:
            raise InputError(f"it is HDR ({hdr}), which needs ten bits in and out: use --codec "
                             "libx265, or convert it to SDR first")
        if hdr:
            self.outcome.warn(f"HDR ({hdr}) kept its tags, but not its mastering metadata")
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
        # 4:2:0 has one colour sample for 2x2 pixels: an odd last row or column goes.
        self._height, self._width = (max(2, length - length % 2) for length in size)

    def _straight_to_planes(self, first):
        """The network with the conversion to 4:2:0 in its last layer, where that can be; or None.

        It then has half the outputs, and the pass over RGB frames is saved: together a third of
        the time that is not the encoder's.
        """
        if self._engine is None or self.colour.deep:
            return None
        return self._engine.yuv420(self.colour.from_rgb(), self._from.sits_left(first))

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
        result = self._fitted(frame, self._through_network(frame))
        if self._layout:
            result = self._beside_bicubic(frame, result)
        result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
        result.pict_type = 0  # the encoder chooses its own key frames
        return result

    def _through_network(self, frame):
        """RGB, or rows of planes, or the luma plane for a network on luma, or None without one."""
        if self._engine is None:
            return None
        if self._engine.channels == 1:
            return self._enlarge_luma(frame)
        image = self._to.to_rgb(frame)
        if self._direct:
            return self._direct(image)
        run = functools.partial(run_network, self._engine)
        return upscale_deep(run, image, _DEEP_PASSES) if self.colour.deep else run(image)

    def _enlarge_luma(self, frame):
        if frame.format.name != self.format:
            frame = self._to.resized(frame, frame.width, frame.height, self.format)
        luma = planes_of(frame)[0]
        if self.format == _SHALLOW:
            return self._engine.upscale_plane(luma)
        # 10 bits in the upper part of 16, as `upscale_deep` takes them, and back.
        deep = upscale_deep(self._engine.upscale_plane, luma << 6, _DEEP_PASSES)
        return (np.minimum(deep, 65535 - 32) + 32) >> 6

    def _fitted(self, frame, enlarged):
        """What the network gave, as a frame of the size and format to encode."""
        height, width = self._height, self._width
        if enlarged is None:
            return self._from.resized(frame, width, height, self.format)
        if enlarged.ndim == 2:
            return self._with_luma(frame, enlarged)
        if not self._direct:
            return self._from.from_rgb(_trimmed(enlarged, height, width), frame, width, height,
                                       self.format)
        result = frame_of_rows(enlarged, self._scale)
        if (result.height, result.width) == (height, width):
            return result
        return self._from.resized(result, width, height, self.format)

    def _with_luma(self, frame, luma):
        """Bicubic for the chroma planes, the network's luma."""
        luma = _trimmed(luma, self._height, self._width)
        height, width = luma.shape
        result = self._from.resized(frame, width, height, self.format)
        planes_of(result)[0][:] = luma
        if (height, width) != (self._height, self._width):
            result = self._bicubic.resized(result, self._width, self._height, self.format)
        return result

    def _beside_bicubic(self, frame, ours):
        bicubic = self._bicubic.resized(frame, self._width, self._height, self.format)
        both = av.VideoFrame(self.size[1], self.size[0], self.format)
        gray = 512 if self.format == _DEEP else 128
        lines = (gray * 2 - gray // 8, gray, gray)  # white enough in full and limited range
        for plane, left, right, line in zip(planes_of(both), planes_of(bicubic), planes_of(ours),
                                            lines):
            plane[:] = compare(left, right, self._layout, line)
        return both


def _trimmed(image, height, width):
    """Cut an odd last row or column off; another size is left to be resized."""
    excess = (image.shape[0] - height, image.shape[1] - width)
    return image[:height, :width] if set(excess) <= {0, 1} else image


def _pixel_formats(codec):
    """Names of the pixel formats that an encoder takes; InputError if it is none for video."""
    try:
        encoder = av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        encoder = None
    if encoder is None or encoder.type != "video":
        raise InputError("expected a video encoder of FFmpeg, such as libx264, libx265 or "
                         f"libsvtav1, but got {codec!r}")
    return {known.name for known in encoder.video_formats or ()}
