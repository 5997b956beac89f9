"""The kernels in Halide that give a colour picture its luma, and an enlarged luma its colours.

They compute what `imaging.luma.upscale_by_luma` computes. The first takes the luma of a picture.
The second runs over the picture once: for each row it makes red, green and blue minus luma, widens
them by bicubic, and keeps the last five such rows. An output row is the weighted sum of four of
them plus the enlarged luma. The enlargement is by an integer, so there are `scale` sets of four
weights in all; they are constants of the kernel.

Differences are 16-bit integers in 32nds of a level, and a product with a weight is rounded to that:
one instruction multiplies 32 of them on AVX-512. What four and four such products lose stays below
0.15 of a level, so that the output differs from the exact one by one level at most.
"""

from __future__ import annotations

import halide as hl
import numpy as np

from elsr_paddle.imaging.luma import BT601, TIES_UP
from elsr_paddle.imaging.resize import CUBIC_WIDTH, cubic

x, y, c = hl.Var("x"), hl.Var("y"), hl.Var("c")  # column, LR row, channel
row = hl.Var("row")  # of the output rows that an LR row becomes
stripe, line = hl.Var("stripe"), hl.Var("line")  # y
block, lane = hl.Var("block"), hl.Var("lane")  # x
pixel, phase = hl.Var("pixel"), hl.Var("phase")  # x of the output: LR column, and which of its own

_FRACTION = 5  # bits of a difference below one level
_ONE = 15  # bits of a weight below one
_ROWS_KEPT = 8  # a power of two for cheap wrapping; five are read


def lanes(target: hl.Target) -> int:
    """Pixels that are computed at once, and the width of the narrowest picture there can be."""
    return target.natural_vector_size(hl.Int(16))


def luma(target: hl.Target) -> tuple[hl.Func, list]:
    """The kernel that computes `imaging.luma.rgb_to_luma`, bit for bit.

    Returns
    -------
    output : hl.Func, uint8 (column, row)
    arguments : list: the picture, uint8 (channel, column, row)
    """
    image = _picture()
    red, green, blue = (hl.f32(image[channel, x, y]) * np.float32(BT601[channel])
                        for channel in range(3))
    output = hl.Func("luma")
    output[x, y] = hl.u8(hl.i32(red + green + blue + np.float32(TIES_UP)))
    output.output_buffer().dim(0).set_min(0)
    output.split(x, block, lane, lanes(target), hl.TailStrategy.ShiftInwards).vectorize(lane)
    return output, [image]


def colours(scale: int, target: hl.Target) -> tuple[hl.Func, list]:
    """The kernel that adds the colours of a picture to its enlarged luma.

    Returns
    -------
    output : hl.Func, uint8 (channel, column, output row of the LR row, LR row)
    arguments : list: the picture, uint8 (channel, column, row); its luma, uint8 (column, row);
        the enlarged luma, uint8 (column, output row of the LR row, LR row); the row of the picture
        that the output begins with, int32; rows of a stripe, int32
    """
    image, small = _picture(), hl.ImageParam(hl.UInt(8), 2, "small")
    large = hl.ImageParam(hl.UInt(8), 3, "large")
    first, stripe_rows = hl.Param(hl.Int(32), "first"), hl.Param(hl.Int(32), "stripe_rows")
    for buffer in (small, large):
        buffer.dim(0).set_min(0)
    difference = _differences(image, small)
    wide = _widened(difference, scale)
    output = _output(wide, large, first, scale)
    _schedule_output(output, scale, stripe_rows, lanes(target))
    wide.store_at(output, stripe).compute_at(output, line).fold_storage(y, _ROWS_KEPT)
    _schedule_widened(wide, scale, lanes(target))
    difference.compute_at(wide, y)
    _schedule_differences(difference, lanes(target))
    return output, [image, small, large, first, stripe_rows]


def _picture():
    image = hl.ImageParam(hl.UInt(8), 3, "image")
    image.dim(0).set_bounds(0, 3).set_stride(1)
    image.dim(1).set_min(0).set_stride(3)
    image.dim(2).set_min(0)
    return image


def _differences(image, small):
    """Red, green and blue minus luma, mirrored at the borders, the pixels there included.

    Within two columns of the picture, the mirror gives another column than the nearest one only at
    the second; so the loop over the columns clamps, which costs nothing inside, and two are set.
    """
    width, height = small.dim(0).extent(), small.dim(1).extent()
    mirrored = hl.select(y < 0, -1 - y, hl.select(y < height, y, 2 * height - 1 - y))
    inside = hl.clamp(mirrored, 0, height - 1)

    def at(column):
        return hl.i16(image[c, column, inside]) - hl.i16(small[column, inside])

    difference = hl.Func("difference")
    difference[x, c, y] = at(hl.clamp(hl.likely(x), 0, width - 1))
    difference[-2, c, y] = at(hl.min(1, width - 1))
    difference[width + 1, c, y] = at(hl.max(width - 2, 0))
    return difference


def _widened(difference, scale):
    """The differences at the output's columns, in fractions of a level."""
    wide = hl.Func("wide")
    wide[x, c, y] = hl.mux(x % scale, [
        _weighted([difference[x / scale + start + tap, c, y] << _FRACTION
                   for tap in range(CUBIC_WIDTH)], weights)
        for start, weights in _phases(scale)])
    return wide


def _output(wide, large, first, scale):
    added = hl.mux(row, [
        _weighted([wide[x, c, y + first + start + tap] for tap in range(CUBIC_WIDTH)], weights)
        for start, weights in _phases(scale)])
    total = added + (hl.i16(large[x, row, y]) << _FRACTION)
    output = hl.Func("colours")
    output[c, x, row, y] = hl.u8_sat(_product(total, 2.0**-_FRACTION))
    return output


def _phases(scale):
    """For each place within an LR pixel: the first pixel of its bicubic, counted from that one, and
    four weights. As in `imaging.resize.weights`, centres are aligned."""
    for number in range(scale):
        centre = (number + 0.5) / scale - 0.5
        start = int(np.floor(centre)) - 1
        yield start, cubic(centre - start - np.arange(CUBIC_WIDTH))


def _weighted(values, weights):
    """The weighted sum of int16 values; zeros are left out, and a weight of one is no product."""
    terms = []
    for value, weight in zip(values, weights):
        if weight:
            terms.append(value if weight == 1 else _product(value, weight))
    return sum(terms[1:], terms[0])


def _product(value, weight):
    """An int16 value times a weight between -1 and 1, rounded: one instruction."""
    return hl.rounding_mul_shift_right(value, hl.i16(round(weight * (1 << _ONE))), hl.u16(_ONE))


def _schedule_output(output, scale, stripe_rows, width):
    """Stripes of rows in parallel; the three channels of a vector of pixels are stored together."""
    shift = hl.TailStrategy.ShiftInwards
    buffer = output.output_buffer()
    buffer.dim(0).set_bounds(0, 3).set_stride(1)
    buffer.dim(1).set_min(0).set_stride(3)
    buffer.dim(2).set_bounds(0, scale)
    buffer.dim(3).set_min(0)
    (
        output.bound(c, 0, 3).bound(row, 0, scale)
        .split(y, stripe, line, stripe_rows, shift)
        .split(x, block, lane, width, shift)
        .reorder(c, lane, row, block, line, stripe)
        .unroll(c).vectorize(lane).unroll(row).parallel(stripe)
    )


def _schedule_widened(wide, scale, width):
    """A vector of LR pixels gives `scale` vectors, which are stored together."""
    up = hl.TailStrategy.RoundUp
    (
        wide.bound(c, 0, 3).align_bounds(x, scale)
        .split(x, pixel, phase, scale, up)
        .split(pixel, block, lane, width, up)
        .reorder(phase, lane, block, c, y)
        .unroll(phase).vectorize(lane)
    )


def _schedule_differences(difference, width):
    difference.bound(c, 0, 3).split(x, block, lane, width, hl.TailStrategy.RoundUp)
    difference.reorder(c, lane, block, y).unroll(c).vectorize(lane)
    for number in range(2):
        difference.update(number).unroll(c)
