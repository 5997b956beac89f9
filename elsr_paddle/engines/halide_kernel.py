"""The fused kernel in Halide: a graph's algorithm, and the schedule that makes it fast.

The picture is computed in one pass over its rows. Each layer keeps only the last few rows of its
planes (a few hundred KB, which stay in the cache), and an output row is computed, rounded, packed
into bytes and stored as soon as the rows it depends on are there. Weights are an argument: one
compiled kernel serves all networks of the same shape.

Source of the idea and of the primitives: Halide, PLDI 2013 (Ragan-Kelley et al.).
"""

from __future__ import annotations

import halide as hl
import numpy as np

from elsr_paddle.graph import INPUT, Conv, PReLU

x, y, c = hl.Var("x"), hl.Var("y"), hl.Var("c")  # LR column, LR row, channel
word, row = hl.Var("word"), hl.Var("row")  # of the s x s output pixels that an LR pixel becomes
stripe, line = hl.Var("stripe"), hl.Var("line")  # y: stripes of lines
tile, block, column, lane = hl.Var("tile"), hl.Var("block"), hl.Var("column"), hl.Var("lane")  # x
part, channel = hl.Var("part"), hl.Var("channel")  # c: parts of channels

MAX_VECTORS = 3  # neighbouring vectors of pixels that share each weight loaded


class Kernel:
    """One graph as a Halide pipeline.

    Parameters
    ----------
    graph : Graph; only its shape enters the pipeline.
    target : hl.Target, the machine to schedule for.

    Attributes
    ----------
    output : hl.Func, scheduled. Dimensions, innermost first: `word` of an LR pixel's output row,
        LR column, output row within the LR row, LR row. Words are uint32 where a multiple of four
        bytes belongs to an LR pixel and output row, else uint8.
    arguments : list of hl.ImageParam and hl.Param: image uint8 (channel, column, row),
        parameters float32 (as `pack_parameters` orders them), tile_width and stripe_rows int32.
    words : int, extent of `word`
    word_type : numpy dtype
    min_width : int, the narrowest output it can compute, LR pixels; the picture may be narrower.
    """

    def __init__(self, graph, target):
        self._graph = graph
        self._lanes = target.natural_vector_size(hl.Float(32))
        self._accumulators = 24 if _has_32_registers(target) else 12
        self.image = hl.ImageParam(hl.UInt(8), 3, "image")
        self._parameters = hl.ImageParam(hl.Float(32), 1, "parameters")
        self._tile_width = hl.Param(hl.Int(32), "tile_width")
        self._stripe_rows = hl.Param(hl.Int(32), "stripe_rows")
        self.arguments = [self.image, self._parameters, self._tile_width, self._stripe_rows]
        row_bytes = graph.scale * graph.channels
        packed = row_bytes % 4 == 0
        self.words = row_bytes // 4 if packed else row_bytes
        self.word_type = np.dtype(np.uint32 if packed else np.uint8)
        self.min_width = self._lanes * self._vectors(row_bytes)
        self._define(packed, row_bytes)
        self._schedule()

    # The algorithm: what each value is.

    def _define(self, packed, row_bytes):
        self._values = {INPUT: _func("pixels", self._zero_outside(self._pixels()))}
        self._sums = {}  # the convolutions' accumulators
        self._taps = {}  # and the taps they run over
        self._stored = [INPUT]  # layers whose rows are kept
        offset = 0  # into the parameters
        for index, layer in enumerate(self._graph.layers[:-1]):
            value, used = self._layer(index, layer, offset)
            offset += used
            if self._is_stored(index):
                value = self._zero_outside(value)
                self._stored.append(index)
            self._values[index] = _func(f"layer_{index}", value)
        self.output = hl.Func("output")
        self.output[word, x, row, y] = self._packed(packed, row_bytes)

    def _pixels(self):
        """uint8 interleaved -> float32 planes; the clamps keep every read inside the picture."""
        inside_x = hl.clamp(x, 0, self.image.dim(1).extent() - 1)
        inside_y = hl.clamp(y, 0, self.image.dim(2).extent() - 1)
        return hl.f32(self.image[c, inside_x, inside_y])

    def _zero_outside(self, value):
        """Every convolution pads its own input with zeros: no layer has values outside."""
        width, height = self.image.dim(1).extent(), self.image.dim(2).extent()
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return hl.select(inside, value, hl.f32(0))

    def _layer(self, index, layer, offset):
        """The value of a layer at (x, y, c) and how many parameters it takes from `offset` on."""
        if isinstance(layer, Conv):
            return self._convolution(index, layer, offset), layer.kernel.size + layer.bias.size
        value = self._values[layer.source][x, y, c]
        if isinstance(layer, PReLU):
            slope = self._parameters[offset + c]
            return hl.select(value > 0, value, value * slope), layer.slopes.size
        return value + self._values[layer.other][x, y, c], 0

    def _convolution(self, index, layer, offset):
        outputs, inputs, rows, columns = layer.kernel.shape
        tap = hl.RDom([(0, columns), (0, inputs), (0, rows)], f"tap_{index}")
        weight = ((tap.z * inputs + tap.y) * columns + tap.x) * outputs + c
        source = self._values[layer.source]
        total = hl.Func(f"sum_{index}")
        total[x, y, c] = self._parameters[offset + layer.kernel.size + c]
        total[x, y, c] += (
            self._parameters[offset + weight]
            * source[x + tap.x - columns // 2, y + tap.z - rows // 2, tap.y]
        )
        self._sums[index], self._taps[index] = total, tap
        return total[x, y, c]

    def _is_stored(self, index):
        """Convolutions read neighbours, so their input is kept; so is what two layers read."""
        readers = self._graph.readers(index)
        return len(readers) > 1 or any(
            isinstance(self._graph.layers[reader], Conv) for reader in readers
        )

    def _packed(self, packed, row_bytes):
        """The bytes of an output row: clipped, rounded, four to a word where that fits."""
        value = self._values[len(self._graph.layers) - 2][x, y, c]
        level = _func("level", hl.u32(hl.i32(hl.round(hl.clamp(value, 0.0, 255.0)))))
        if not packed:
            return hl.u8(level[x, y, row * row_bytes + word])
        first = row * row_bytes + 4 * word
        low = level[x, y, first] | (level[x, y, first + 1] << 8)
        return low | (level[x, y, first + 2] << 16) | (level[x, y, first + 3] << 24)

    # The schedule: when and where it is computed. It changes no value.

    def _schedule(self):
        self._fix_layout()
        self._schedule_output()
        self._schedule_sums(len(self._graph.layers) - 2, self.output, block)
        for index in self._stored:
            self._schedule_stored(index)

    def _fix_layout(self):
        channels, scale = self._graph.channels, self._graph.scale
        output = self.output.output_buffer()
        for buffer, extents in ((self.image, [channels]), (output, [self.words])):
            buffer.dim(0).set_bounds(0, extents[0]).set_stride(1)
            buffer.dim(1).set_min(0).set_stride(extents[0])
            buffer.dim(buffer.dimensions() - 1).set_min(0)
        output.dim(2).set_bounds(0, scale)
        self.output.bound(word, 0, self.words).bound(row, 0, scale)

    def _schedule_output(self):
        """Stripes of rows in parallel; in each, column tiles; in each, row by row."""
        shift = hl.TailStrategy.ShiftInwards
        (
            self.output.split(y, stripe, line, self._stripe_rows, shift)
            .split(x, tile, column, self._tile_width, shift)
            .split(column, block, column, self.min_width, shift)
            .split(column, column, lane, self._lanes)
            .reorder(word, lane, column, block, row, line, tile, stripe)
            .unroll(word).vectorize(lane).unroll(column).unroll(row)
            .parallel(stripe)
        )

    def _schedule_stored(self, index):
        """The last rows of a layer: made just before the output row that needs them."""
        width = self._graph.width(index)
        group = self._group(width)
        func = self._values[index]
        (
            func.store_at(self.output, tile).compute_at(self.output, line)
            .fold_storage(y, self._rows_kept(index)).bound(c, 0, width)
            .split(c, part, channel, group, hl.TailStrategy.ShiftInwards)
            .split(x, block, column, self._lanes * self._vectors(group), hl.TailStrategy.RoundUp)
            .split(column, column, lane, self._lanes)
            .reorder(lane, column, channel, part, block, y)
            .vectorize(lane).unroll(column).unroll(channel)
        )
        self._schedule_sums(index, func, part)

    def _schedule_sums(self, index, consumer, at):
        """Accumulators behind a layer, through PReLU and Add: registers of the consumer's block."""
        if index == INPUT:
            return
        if index in self._sums:
            self._schedule_sum(index, consumer, at)
            return
        for source in self._graph.sources(index):
            if source not in self._stored:
                self._schedule_sums(source, consumer, at)

    def _schedule_sum(self, index, consumer, at):
        total, tap = self._sums[index], self._taps[index]
        total.compute_at(consumer, at)
        total.split(x, column, lane, self._lanes).reorder(lane, column, c, y)
        total.vectorize(lane).unroll(column).unroll(c)
        update = total.update()
        update.split(x, column, lane, self._lanes)
        update.reorder(lane, column, c, tap.z, tap.x, tap.y, y)
        update.vectorize(lane).unroll(column).unroll(c).unroll(tap.z)

    def _group(self, width):
        """Channels computed at once: all of them, or equal parts that fit the registers."""
        parts = -(-width // self._accumulators)
        return -(-width // parts)

    def _vectors(self, channels):
        """Vectors of pixels computed at once, so that `channels` accumulators of each fit."""
        return max(1, min(MAX_VECTORS, self._accumulators // channels))

    def _rows_kept(self, index):
        """Rows between the newest one and the oldest still read, to a power of two for cheap
        wrapping."""
        leads, reach = self._graph.leads(), self._graph.reach
        readers = self._graph.readers(index)
        newest = max(leads[reader] + reach(reader) for reader in readers)
        oldest = min(leads[reader] - reach(reader) for reader in readers)
        return 1 << (newest - oldest).bit_length()


def _func(name, value):
    func = hl.Func(name)
    func[x, y, c] = value
    return func


def pack_parameters(graph):
    """A graph's weights as the kernel reads them: kernels as (row, input, column, output), biases.

    Parameters
    ----------
    graph : Graph, the one the kernel was made from, or another of the same shape.

    Returns
    -------
    float32 array, 1-D
    """
    parts = []
    for layer in graph.layers:
        if isinstance(layer, Conv):
            parts += [layer.kernel.transpose(2, 1, 3, 0), layer.bias]
        elif isinstance(layer, PReLU):
            parts.append(layer.slopes)
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _has_32_registers(target):
    return target.has_feature(hl.TargetFeature.AVX512) or target.arch == hl.TargetArch.ARM
