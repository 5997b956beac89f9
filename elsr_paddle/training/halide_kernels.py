"""Define the kernels of a training step in Halide: the values of each, and the schedule.

A plane is one channel of one image. It is stored flat, its rows one behind the other with a few
zeros between them (`Plane`), so that the neighbour of every value lies at a constant distance and a
convolution is one long loop over vectors, whatever the width of the patch. Everything but the
number of images is a constant of the compiled code.

Each convolution carries the pointwise operations behind it (PReLU, ReLU, GELU, tanh, sums) as an
epilogue; its gradient carries theirs. Sums run in a fixed order, so equal inputs give equal bits.

The schedule: tiles of a few channels by a few vectors whose sums stay in registers, all taps of a
3x3 kernel unrolled, input channels as the loop (weights: taps of a row unrolled, vectors as the
loop, one horizontal sum a plane). Source: Halide, PLDI 2013 (Ragan-Kelley et al.).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import halide as hl
import numpy as np

from elsr_paddle.engines.halide_kernel import normal_share
from elsr_paddle.training.losses import Charbonnier
from elsr_paddle.training.planes import LEVELS, LUMA

x, c, n = hl.Var("x"), hl.Var("c"), hl.Var("n")  # place in a plane, channel, image
kind = hl.Var("kind")  # which of the results of a kernel
kx, ky, ci, co = hl.Var("kx"), hl.Var("ky"), hl.Var("ci"), hl.Var("co")  # of a weight
column, row = hl.Var("column"), hl.Var("row")  # of a value in its patch
vectors, vector, lane = hl.Var("vectors"), hl.Var("vector"), hl.Var("lane")  # parts of a row
group, member = hl.Var("group"), hl.Var("member")  # parts of the channels


@dataclass(frozen=True)
class Machine:
    """The part of a processor that the schedule depends on.

    Attributes
    ----------
    lanes : int, float32 values of a vector
    sums : int, vectors of sums that fit into the registers beside what they are made of
    """

    lanes: int
    sums: int

    @classmethod
    def of(cls, target):
        """The machine of a `hl.Target`."""
        wide = target.has_feature(hl.TargetFeature.AVX512) or target.arch == hl.TargetArch.ARM
        return cls(target.natural_vector_size(hl.Float(32)), 24 if wide else 12)


@dataclass(frozen=True)
class Plane:
    """How a patch of height x width values lies in memory.

    A row is followed by `padding` zeros, which are the right edge of that row and the left edge of
    the next one. Before the first row and behind the last one there are zeros for the rows above
    and below.
    """

    height: int
    width: int
    padding: int
    lanes: int

    @property
    def stride(self):
        """Floats from one row to the next."""
        return self.width + self.padding

    @property
    def size(self):
        """Floats computed: all rows, in whole vectors."""
        return _round_up(self.height * self.stride, self.lanes)

    @property
    def lead(self):
        """Floats before the first row, in whole vectors."""
        return _round_up(self._margin, self.lanes)

    @property
    def extent(self):
        """Floats in memory: an odd number of vectors, so that the same place in all planes does
        not fall into few sets of the nearest cache."""
        used = self.lead + _round_up(self.size + self._margin, self.lanes)
        return used + self.lanes * (used // self.lanes % 2 == 0)

    @cached_property
    def mask(self):
        """float32 (size,): 1 where there is a value of the patch, else 0."""
        mask = np.zeros(self.size, np.float32)
        self.rows_of(mask)[:] = 1
        return mask

    def zeros(self, *shape):
        """Planes without values: float32 (*shape, extent), aligned to whole vectors."""
        count = int(np.prod(shape, dtype=int)) * self.extent
        memory = np.zeros(count + 16, np.float32)
        first = -memory.ctypes.data % 64 // 4
        return memory[first : first + count].reshape(*shape, self.extent)

    def computed(self, planes):
        """The view (..., size) of planes (..., extent) that kernels write."""
        return planes[..., self.lead : self.lead + self.size]

    def rows_of(self, computed):
        """The view (..., height, width) of (..., size)."""
        rows = computed[..., : self.height * self.stride]
        return rows.reshape(*computed.shape[:-1], self.height, self.stride)[..., : self.width]

    @property
    def _margin(self):
        """Floats from a value to the farthest one that a kernel reads beside it."""
        return self.padding * (self.stride + 1)


@dataclass(frozen=True)
class Pointwise:
    """An operation behind a convolution.

    Attributes
    ----------
    kind : "prelu", "relu", "leaky", "gelu", "tanh" or "add"
    sources : tuple of int. 0 is the convolution, i the i-th operation behind it; -1 - i is the i-th
        of the planes given from elsewhere.
    shared : bool, one slope for all channels, of "prelu"
    slope : float, of "leaky"
    """

    kind: str
    sources: tuple[int, ...]
    shared: bool = False
    slope: float = 0.0


@dataclass(frozen=True)
class Forward:
    """A convolution and the operations behind it.

    Arguments: source (n, inputs, extent), weight (outputs, inputs, k, k), bias (outputs,), mask
    (size,), the slopes of every PReLU, every outer (n, outputs, extent); gives (n, kinds, outputs,
    size) with the values at the places of `stored`.
    """

    inputs: int
    outputs: int
    kernel: int
    steps: tuple[Pointwise, ...]
    stored: tuple[int, ...]

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        source = _planes("source", plane, self.inputs)
        weight = _array("weight", self.kernel, self.kernel, self.inputs, self.outputs)
        bias, mask = _array("bias", self.outputs), _array("mask", plane.size)
        slopes = _slopes(self.steps, self.outputs)
        outers = [_planes(f"outer_{i}", plane, self.outputs) for i in range(_outers(self.steps))]
        tap = _taps(self.kernel, self.inputs)
        total = hl.Func("total")
        total[x, c, n] = bias[c]
        total[x, c, n] += weight[tap.x, tap.y, tap.z, c] * source[
            x + plane.lead + _distance(tap, self.kernel, plane), tap.z, n
        ]
        values = [_masked(mask, total)]
        given = [outer[x + plane.lead, c, n] for outer in outers]
        for place, step in enumerate(self.steps, 1):
            sources = [values[i] if i >= 0 else given[-1 - i] for i in step.sources]
            values.append(_value(step, sources, slopes.get(place)))
        result = _result([values[i] for i in self.stored], plane, self.outputs)
        _schedule_tiles(result, [(total, [(tap, self.kernel)])], plane, self.outputs, machine)
        return [result], [source, weight, bias, mask, *slopes.values(), *outers]


@dataclass(frozen=True)
class Arrival:
    """What reaches one value of a block from the blocks behind it.

    Attributes
    ----------
    place : int, 0 for the convolution's own value, i for that of the i-th operation
    convolutions : tuple of (outputs, kernel), of each convolution that reads the value
    planes : int, how many gradients are added as they are
    """

    place: int
    convolutions: tuple[tuple[int, int], ...]
    planes: int


@dataclass(frozen=True)
class Backward:
    """The gradient of a block's values, from the convolutions that read them.

    Arguments: mask (size,), the slopes of every PReLU, the value (n, channels, extent) that each
    operation's derivative depends on, and for every arrival, each convolution's weight and
    gradient, then each plane; gives (n, kinds, channels, size): the gradients at the places of
    `stored`, then of each PReLU the products whose sum is the gradient of its slopes.
    """

    channels: int
    steps: tuple[Pointwise, ...]
    arrivals: tuple[Arrival, ...]
    stored: tuple[int, ...]

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        mask = _array("mask", plane.size)
        slopes = _slopes(self.steps, self.channels)
        needed = {
            place: _planes(f"value_{place}", plane, self.channels)
            for place, step in enumerate(self.steps, 1)
            if step.kind != "add"
        }
        arguments = [mask, *slopes.values(), *needed.values()]
        reached = {place: [] for place in range(len(self.steps) + 1)}
        totals = []
        for arrival in self.arrivals:
            total, taps, planes = self._arrive(arrival, plane, arguments)
            if taps:
                totals.append((total, taps))
                reached[arrival.place].append(_masked(mask, total))
            reached[arrival.place] += planes
        products = self._pass_back(reached, slopes, needed, plane)
        results = [_sum(reached[place]) for place in self.stored] + products
        result = _result(results, plane, self.channels)
        _schedule_tiles(result, totals, plane, self.channels, machine)
        return [result], arguments

    def _arrive(self, arrival, plane, arguments):
        """The sum over convolutions as a Func, their taps, and the planes added to it."""
        total, taps = hl.Func(f"total_{arrival.place}"), []
        total[x, c, n] = hl.f32(0)
        for index, (outputs, kernel) in enumerate(arrival.convolutions):
            label = f"{arrival.place}_{index}"
            weight = _array(f"weight_{label}", kernel, kernel, self.channels, outputs)
            gradient = _planes(f"gradient_{label}", plane, outputs)
            tap = _taps(kernel, outputs)
            at = x + plane.lead - _distance(tap, kernel, plane)
            total[x, c, n] += weight[tap.x, tap.y, c, tap.z] * gradient[at, tap.z, n]
            taps.append((tap, kernel))
            arguments += [weight, gradient]
        planes = [
            _planes(f"plane_{arrival.place}_{index}", plane, self.channels)
            for index in range(arrival.planes)
        ]
        arguments += planes
        return total, taps, [values[x + plane.lead, c, n] for values in planes]

    def _pass_back(self, reached, slopes, needed, plane):
        """Hand each operation's gradient on to its sources; gives the products for the slopes."""
        products = []
        for place, step in reversed(list(enumerate(self.steps, 1))):
            gradient = _sum(reached[place])
            if step.kind != "add":
                value = needed[place][x + plane.lead, c, n]
                handed_on = _derivative(step, gradient, value, slopes.get(place))
            for source in step.sources:
                if source >= 0:
                    reached[source].append(gradient if step.kind == "add" else handed_on)
            if step.kind == "prelu":
                products.insert(0, hl.select(value > 0, hl.f32(0), gradient * value))
        return products


@dataclass(frozen=True)
class Weights:
    """The gradient of a convolution's weights and bias, summed over the images given.

    Arguments: source (n, inputs, extent), gradient (n, outputs, extent); gives
    (outputs, inputs, k, k) and (outputs,).
    """

    inputs: int
    outputs: int
    kernel: int

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        source = _planes("source", plane, self.inputs)
        gradient = _planes("gradient", plane, self.outputs)
        lanes = hl.RDom([(0, machine.lanes), (0, gradient.dim(2).extent())], "lanes")
        places = hl.RDom([(0, plane.size // machine.lanes)], "places")
        at = places.x * machine.lanes + lane + plane.lead
        distance = (ky - self.kernel // 2) * plane.stride + kx - self.kernel // 2
        output = hl.min(co, self.outputs - 1)
        part, weights = hl.Func("part"), hl.Func("weights")
        part[lane, kx, ky, ci, co, n] = hl.f32(0)
        part[lane, kx, ky, ci, co, n] += gradient[at, output, n] * source[at + distance, ci, n]
        weights[kx, ky, ci, co] = hl.f32(0)
        weights[kx, ky, ci, co] += part[lanes.x, kx, ky, ci, co, lanes.y]
        self._schedule(weights, part, lanes, places, machine)
        return [weights, _sums("bias", gradient, plane, self.outputs, machine)], [source, gradient]

    def rows(self, machine):
        """Output channels that are written: a few more where those of the layer fill no tiles."""
        return _round_up(self.outputs, self._tile(machine)[1])

    def _tile(self, machine):
        """(taps of a row, or of a 1x1 kernel input channels; output channels) of a tile."""
        width = _divisor(self.inputs, 4) if self.kernel == 1 else self.kernel
        return width, _part(self.outputs, machine.sums // width + 1)

    def _schedule(self, weights, part, lanes, places, machine):
        across = ci if self.kernel == 1 else kx
        width, height = self._tile(machine)
        shape = (self.kernel, self.kernel, self.inputs, self.rows(machine))
        _fix(weights.output_buffer(), shape)
        for var, extent in zip((kx, ky, ci, co), shape):
            weights.bound(var, 0, extent)
        update = weights.update().split(co, group, member, height)
        update.split(across, vectors, vector, width)
        others = [var for var in (kx, ky, ci) if var.name() != across.name()]
        update.reorder(lanes.x, vector, member, vectors, *others, group, lanes.y)
        update.atomic().vectorize(lanes.x).unroll(vector).unroll(member)
        part.compute_at(weights, vectors).vectorize(lane).unroll(across).unroll(co)
        part.update().reorder(lane, across, co, places.x).vectorize(lane)
        part.update().unroll(across).unroll(co)


@dataclass(frozen=True)
class Sums:
    """The sum of each plane over the images given: (n, channels, extent) -> (channels,)."""

    channels: int

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        values = _planes("values", plane, self.channels)
        return [_sums("sums", values, plane, self.channels, machine)], [values]


@dataclass(frozen=True)
class Loss:
    """The loss of each value, and its gradient, both divided by `count`.

    Arguments: features (n, channels * scale^2, height, width) as rows of planes, hr (n, channels,
    scale * height, scale * width); gives (n, 2, channels * scale^2, height, width), rows of planes
    as well: the gradient and the loss.
    """

    # Of "psnr" the squares, from which each image's gradient is made when their sum is known.
    NAMES: ClassVar[tuple[str, ...]] = ("l1", "l2", "charbonnier", "psnr")

    name: str
    channels: int
    scale: int
    count: int

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        values = self.channels * self.scale**2
        features = hl.ImageParam(hl.Float(32), 4, "features")
        _fix_rows(features, plane, values)
        hr = hl.ImageParam(hl.Float(32), 4, "hr")
        width, height = self.scale * plane.width, self.scale * plane.height
        _fix(hr, (width, height, self.channels))
        hr.dim(3).set_min(0)
        within = c % self.scale**2
        error = features[column, row, c, n] - hr[
            column * self.scale + within % self.scale,
            row * self.scale + within // self.scale,
            c // self.scale**2,
            n,
        ]
        loss, gradient = _loss(self.name, error)
        result = hl.Func("result")
        share = hl.f32(1 / self.count)
        result[column, row, c, kind, n] = hl.mux(kind, [gradient * share, loss * share])
        _fix_rows(result.output_buffer(), plane, values)
        result.output_buffer().dim(3).set_bounds(0, 2).set_stride(values * plane.extent)
        self._schedule(result, plane, values, machine)
        return [result], [features, hr]

    def _schedule(self, result, plane, values, machine):
        lanes = machine.lanes
        while lanes > plane.width:
            lanes //= 2
        result.bound(kind, 0, 2).bound(c, 0, values).split(c, c, member, self.scale)
        result.split(column, column, lane, lanes, hl.TailStrategy.ShiftInwards)
        result.reorder(lane, kind, member, column, row, c, n)
        result.vectorize(lane).unroll(kind).unroll(member)


@dataclass(frozen=True)
class Conversion:
    """Pictures as planes in [0, 1]: what `planes.planes_of` gives, to the bit.

    Arguments: images uint8 (n, pixels, 3); gives float32 (n, channels, pixels).
    """

    channels: int

    def define(self, plane, machine):
        """(outputs, arguments) of the pipeline, scheduled."""
        images = hl.ImageParam(hl.UInt(8), 3, "images")
        _fix(images, (3,))
        images.dim(1).set_min(0).set_stride(3)
        result = hl.Func("result")
        result[x, c, n] = self._value(images)
        result.output_buffer().dim(0).set_min(0).set_stride(1)
        result.output_buffer().dim(1).set_bounds(0, self.channels)
        result.bound(c, 0, self.channels).reorder(c, x, n).unroll(c)
        result.vectorize(x, 2 * machine.lanes, hl.TailStrategy.GuardWithIf)
        return [result], [images]

    def _value(self, images):
        if self.channels == 3:
            return hl.f32(images[c, x, n]) * hl.f32(1 / LEVELS)
        red, green, blue = (hl.i32(images[channel, x, n]) for channel in range(3))
        thousandths = sum(int(w) * v for w, v in zip(LUMA, (red, green, blue)))
        return hl.f32(thousandths) * hl.f32(1 / (LEVELS * sum(LUMA)))


def _loss(name, error):
    """(loss, its derivative) of one value."""
    if name in ("l2", "psnr"):
        return error * error, 2 * error
    if name == "l1":
        sign = hl.select(error > 0, hl.f32(1), hl.select(error < 0, hl.f32(-1), hl.f32(0)))
        return hl.abs(error), sign
    root = hl.sqrt(error * error + hl.f32(Charbonnier().epsilon**2))
    return root, error / root


def _value(step, sources, slopes):
    """What a pointwise operation makes of its sources."""
    if step.kind == "add":
        return sources[0] + sources[1]
    if step.kind == "tanh":
        return _tanh(sources[0])
    if step.kind == "gelu":
        return sources[0] * normal_share(sources[0])
    return hl.select(sources[0] > 0, sources[0], sources[0] * _slope(step, slopes))


def _derivative(step, gradient, value, slopes):
    """A gradient handed back through a pointwise operation; `value` is tanh's result, else the
    operation's source."""
    if step.kind == "tanh":
        return gradient * (1 - value * value)
    if step.kind == "gelu":
        density = hl.exp(-value * value / 2) * hl.f32(1 / np.sqrt(2 * np.pi))
        return gradient * (normal_share(value) + value * density)
    return hl.select(value > 0, gradient, gradient * _slope(step, slopes))


def _slope(step, slopes):
    if step.kind == "prelu":
        return slopes[0] if step.shared else slopes[c]
    return hl.f32(step.slope)


def _tanh(value):
    """tanh in vectors (Halide's own calls the C library for every value): a series near zero, where
    the exponentials would cancel."""
    exponential = hl.exp(-2 * hl.abs(value))
    far = (1 - exponential) / (1 + exponential)
    square = value * value
    series = hl.f32(-17 / 315) + square * hl.f32(62 / 2835)
    near = 1 + square * (hl.f32(-1 / 3) + square * (hl.f32(2 / 15) + square * series))
    return hl.select(hl.abs(value) < hl.f32(0.25), value * near, hl.select(value < 0, -far, far))


def _masked(mask, total):
    """The sums of a convolution, zero between the rows and behind the last one."""
    return hl.select(mask[x] > 0, total[x, c, n], hl.f32(0))


def _sum(terms):
    total = terms[0] if terms else hl.f32(0)
    for term in terms[1:]:
        total = total + term
    return total


def _taps(kernel, channels):
    return hl.RDom([(0, kernel), (0, kernel), (0, channels)], "tap")


def _distance(tap, kernel, plane):
    """Floats from a value to the one under a tap."""
    return (tap.y - kernel // 2) * plane.stride + tap.x - kernel // 2


def _outers(steps):
    return -min((source for step in steps for source in step.sources), default=0)


def _slopes(steps, channels):
    """The parameters of every PReLU, by its place."""
    return {
        place: _array(f"slopes_{place}", 1 if step.shared else channels)
        for place, step in enumerate(steps, 1)
        if step.kind == "prelu"
    }


def _round_up(count, multiple):
    return -(-count // multiple) * multiple


def _sums(name, planes, plane, channels, machine):
    """A Func of the sum of each plane over its places and the images, scheduled."""
    lanes = hl.RDom([(0, machine.lanes), (0, planes.dim(2).extent())], f"{name}_lanes")
    places = hl.RDom([(0, plane.size // machine.lanes)], f"{name}_places")
    part, sums = hl.Func(f"{name}_part"), hl.Func(name)
    part[lane, c, n] = hl.f32(0)
    part[lane, c, n] += planes[places.x * machine.lanes + lane + plane.lead, c, n]
    sums[c] = hl.f32(0)
    sums[c] += part[lanes.x, c, lanes.y]
    sums.bound(c, 0, channels)
    _fix(sums.output_buffer(), (channels,))
    together = _divisor(channels, 8)  # independent sums, so that none waits for its own addition
    update = sums.update().split(c, group, member, together)
    update.reorder(lanes.x, member, group, lanes.y).atomic().vectorize(lanes.x).unroll(member)
    part.compute_at(sums, group).vectorize(lane).unroll(c)
    part.update().reorder(lane, c, places.x).vectorize(lane).unroll(c)
    return sums


def _result(values, plane, channels):
    """The Func that a kernel writes: one set of planes for each of the values."""
    result = hl.Func("result")
    result[x, c, kind, n] = hl.mux(kind, values)
    result.bound(c, 0, channels).bound(kind, 0, len(values))
    buffer = result.output_buffer()
    buffer.dim(0).set_bounds(0, plane.size).set_stride(1)
    buffer.dim(1).set_bounds(0, channels).set_stride(plane.extent)
    buffer.dim(2).set_bounds(0, len(values)).set_stride(channels * plane.extent)
    buffer.dim(3).set_min(0).set_stride(len(values) * channels * plane.extent)
    return result


def _schedule_tiles(result, totals, plane, channels, machine):
    """Tiles of channels by vectors; the sums over taps of a tile stay in registers.

    `totals` holds each Func of sums with its reduction domains.
    """
    height = _part(channels, 8 if machine.sums > 16 else 4)
    width = _across(plane.size // machine.lanes, machine.sums // (height * max(1, len(totals))))
    shift = hl.TailStrategy.ShiftInwards
    result.split(x, x, vector, width * machine.lanes, shift)
    result.split(vector, vector, lane, machine.lanes).split(c, group, member, height, shift)
    result.reorder(lane, vector, kind, member, group, x, n)
    result.vectorize(lane).unroll(vector).unroll(kind).unroll(member)
    for total, taps in totals:
        total.compute_at(result, group)
        total.split(x, vector, lane, machine.lanes).reorder(lane, vector, c)
        total.vectorize(lane).unroll(vector).unroll(c)
        for index, (tap, kernel) in enumerate(taps):
            update = total.update(index).split(x, vector, lane, machine.lanes)
            update.reorder(lane, vector, c, tap.x, tap.y, tap.z)
            update.vectorize(lane).unroll(vector).unroll(c).unroll(tap.x)
            if kernel <= 3:  # of more, the code outgrows its cache
                update.unroll(tap.y)


def _across(vectors, most):
    """Vectors of a tile: as many as fit, but of the widths near that the one with least waste."""
    most = max(1, min(vectors, most))
    return min(range(most, most // 2, -1), key=lambda width: -(-vectors // width) * width)


def _part(count, most):
    """The size of equal parts of `count`, at most `most`; the last one may be short."""
    divisor = _divisor(count, most)
    return divisor if 2 * divisor > most else -(-count // -(-count // most))


def _divisor(count, most):
    return next(size for size in range(min(count, most), 0, -1) if count % size == 0)


def _planes(name, plane, channels):
    """An argument (n, channels, extent) of planes, whose images may lie any distance apart."""
    argument = hl.ImageParam(hl.Float(32), 3, name)
    _fix(argument, (plane.extent, channels))
    argument.dim(2).set_min(0)
    return argument


def _array(name, *shape):
    """A dense argument, its innermost dimension given first."""
    argument = hl.ImageParam(hl.Float(32), len(shape), name)
    _fix(argument, shape)
    return argument


def _fix(buffer, shape):
    """Make the extents and strides of a buffer's first dimensions constants of the code."""
    stride = 1
    for index, extent in enumerate(shape):
        buffer.dim(index).set_bounds(0, extent).set_stride(stride)
        stride *= extent


def _fix_rows(buffer, plane, channels):
    """As `_fix`, for planes seen as rows: (column, row, channel)."""
    buffer.dim(0).set_bounds(0, plane.width).set_stride(1)
    buffer.dim(1).set_bounds(0, plane.height).set_stride(plane.stride)
    buffer.dim(2).set_bounds(0, channels).set_stride(plane.extent)
