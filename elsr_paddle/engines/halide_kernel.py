"""The fused kernel in Halide: a graph's algorithm, and the schedule that makes it fast.

The picture is computed in one pass over its rows. Each node keeps only the last few rows of its
planes (some hundred KB, which stay in the cache), and an output row is computed, rounded, packed
into bytes and stored as soon as the rows it depends on are there. Weights are an argument: one
compiled kernel serves all networks of the same shape.

Columns are taken in pairs, because a pair of outputs of a convolution three columns wide needs
four multiplications instead of six (Winograd's F(2, 3)): with d0..d3 the pixels around the pair and
g0..g2 the weights,

    m0 = (d0 - d2) g0
    m1 = (d1 + d2) (g0 + g1 + g2) / 2        left  = m0 + m1 + m2
    m2 = (d2 - d1) (g0 - g1 + g2) / 2        right = m1 - m2 - m3
    m3 = (d1 - d3) g2

The sums and differences of pixels are made once a row and serve all outputs of a layer. Rows are
computed two at a time, so that a weight, once loaded, serves both: two rows rather than a block of
twice the width, which few pictures are a multiple of.

Sources: Halide, PLDI 2013 (Ragan-Kelley et al.); arXiv 1509.09308 for F(2, 3).
"""

from __future__ import annotations

import halide as hl
import numpy as np

from elsr_paddle.networks import operations as ops

x, side = hl.Var("x"), hl.Var("side")  # LR columns: the pair, and which of its two
y, c = hl.Var("y"), hl.Var("c")  # LR row, channel
term = hl.Var("term")  # which of the four products, or of the sums they are made from
half = hl.Var("half")  # the first or the last two terms
word, row = hl.Var("word"), hl.Var("row")  # of the output pixels that a pair becomes
stripe, line, twin = hl.Var("stripe"), hl.Var("line"), hl.Var("twin")  # y: lines of two rows
block, lane = hl.Var("block"), hl.Var("lane")  # x
part, channel = hl.Var("part"), hl.Var("channel")  # c: parts of channels

# Pairs; each row of a stored plane takes a multiple of it: an odd number of cache lines, 11. With a
# power of two the same place in all planes would fall into few sets of the nearest cache.
ROW_PAIRS = 176


class Kernel:
    """One graph as a Halide pipeline.

    Parameters
    ----------
    graph : Graph on levels, at the picture's resolution, interleaved; only its shape enters.
    target : hl.Target, the machine to schedule for.

    Attributes
    ----------
    output : hl.Func, scheduled. Dimensions, innermost first: `word` of an output row of a pair of
        LR pixels, pair, output row within the LR row, LR row. Words are uint32 where the bytes of a
        pair's output row are a multiple of four, else uint8. Levels are cut off, not rounded: the
        graph's output is to be raised by a half. Its LR rows are even in number; the picture may
        have one less. It may leave out pairs at the left and right, and then begins with another
        than 0: layers are computed over the whole width all the same.
    arguments : list of hl.ImageParam and hl.Param: image uint8 (channel, column, row),
        parameters float32 (as `pack_parameters` orders them), stripe_lines int32.
    words : int, extent of `word`
    word_type : numpy dtype
    block_pairs : int, the width of a block, a vector, and the narrowest output it can compute; the
        picture may be narrower.
    """

    def __init__(self, graph, target):
        self._graph = graph
        self.block_pairs = target.natural_vector_size(hl.Float(32))
        self._max_group = 5 if _has_32_registers(target) else 2  # four sums each: two rows by two
        self.image = hl.ImageParam(hl.UInt(8), 3, "image")
        self._parameters = hl.ImageParam(hl.Float(32), 1, "parameters")
        self._stripe_lines = hl.Param(hl.Int(32), "stripe_lines")
        self.arguments = [self.image, self._parameters, self._stripe_lines]
        self._row_values = graph.scale * graph.widths[-1]
        packed = 2 * self._row_values % 4 == 0
        self.words = 2 * self._row_values // (4 if packed else 1)
        self.word_type = np.dtype(np.uint32 if packed else np.uint8)
        self._last = graph.nodes[-1].sources[0]  # before the pixel shuffle
        self._leads, self._beside = _leads(graph), _beside(graph, self.block_pairs)
        self._define()
        self._schedule()

    # The algorithm: what each value is.

    def _define(self):
        self._values = [_func("pixels", self._zero_outside(self._pixels()))]
        self._sums = {}  # the convolutions' accumulators, and the taps they run over
        self._spreads = {}  # d0 - d2, d1 + d2, d2 - d1 and d1 - d3 of a node
        self._stored = [0]  # nodes whose rows are kept
        offset = 0  # into the parameters
        for index, node in enumerate(self._graph.nodes[1:-1], start=1):
            value = _value_of(self, index, node, offset)
            offset += _parameters_of(node.op, self._graph.arrays).size
            if self._is_stored(index):
                value = self._zero_outside(value)
                self._stored.append(index)
            self._values.append(_func(f"node_{index}", value))
        self.output = hl.Func("output")
        self.output[word, x, row, y] = self._word()

    def _pixels(self):
        """uint8 interleaved -> float32 planes; the clamps keep every read inside the picture."""
        inside_x = hl.clamp(2 * x + side, 0, self.image.dim(1).extent() - 1)
        inside_y = hl.clamp(y, 0, self.image.dim(2).extent() - 1)
        return hl.f32(self.image[c, inside_x, inside_y])

    def _zero_outside(self, value):
        """Every convolution pads its own input with zeros: no layer has values outside."""
        width, height = self.image.dim(1).extent(), self.image.dim(2).extent()
        at = 2 * x + side
        return hl.select((at >= 0) & (at < width) & (y >= 0) & (y < height), value, hl.f32(0))

    def convolution(self, index, node, offset):
        """A convolution, whose parameters begin at `offset`."""
        if node.op.padding == "edge":
            self._check_edge(node)
        make = self._by_pairs if _is_by_pairs(node.op) else self._by_taps
        return make(index, node, offset)

    def _check_edge(self, node):
        """Only of the picture values beyond the border are there: `_pixels` repeats it."""
        if node.sources != (0,):
            raise ops.Unsupported("halide has no convolution with the border repeated but of the "
                                  "picture")

    def prelu(self, index, node, offset):
        """A PReLU, whose slopes begin at `offset`."""
        value = self.source(node)
        return hl.select(value > 0, value, value * self._parameters[offset + c])

    def source(self, node, number=0):
        """What a pointwise operation reads."""
        return self._values[node.sources[number]][x, side, y, c]

    def _by_pairs(self, index, node, offset):
        """A convolution three columns wide."""
        outputs, inputs, rows = node.op.outputs, node.op.inputs, node.op.kernel
        tap = hl.RDom([(0, inputs), (0, rows)], f"tap_{index}")
        weight = ((tap.y * inputs + tap.x) * 4 + term) * outputs + c
        bias = self._parameters[offset + 4 * inputs * rows * outputs + c]
        spread = self._spread(node.sources[0])
        total = hl.Func(f"sum_{index}")
        total[x, term, y, c] = hl.select(term == 1, bias, hl.f32(0))  # m1 is in left and right
        total[x, term, y, c] += (
            self._parameters[offset + weight] * spread[x, term, y + tap.y - rows // 2, tap.x]
        )
        self._sums[index] = total, [tap.x], tap.y
        m0, m1, m2, m3 = (total[x, which, y, c] for which in range(4))
        return hl.select(side == 0, m0 + m1 + m2, m1 - m2 - m3)

    def _spread(self, source):
        if source not in self._spreads:
            value = self._values[source]
            d1, d2 = value[x, 0, y, c], value[x, 1, y, c]
            d0 = self._neighbour(value, x - 1, 1)
            d3 = self._neighbour(value, x + 1, 0)
            spread = hl.Func(f"spread_{source}")
            spread[x, term, y, c] = hl.mux(term, [d0 - d2, d1 + d2, d2 - d1, d1 - d3])
            self._spreads[source] = spread
        return self._spreads[source]

    def _neighbour(self, value, pair, which):
        """A column of the pair before or behind: zero where the picture ends.

        With the promise, columns beyond the picture are not computed only to be zero. What is read
        there is thrown away, and lies inside the node's memory: the two sides of a row lie one
        behind the other, and the left neighbour is of the second, the right one of the first.
        """
        pairs = self._pairs()
        inside = (pair >= 0) & (pair < pairs)
        promised = hl.unsafe_promise_clamped(pair, 0, pairs - 1)
        return hl.select(inside, value[promised, which, y, c], hl.f32(0))

    def _pairs(self):
        """Of a row of the picture; the last one may lack its second column."""
        return (self.image.dim(1).extent() + 1) // 2

    def _by_taps(self, index, node, offset):
        """A convolution of any other width."""
        outputs, inputs, rows = node.op.outputs, node.op.inputs, node.op.kernel
        columns = rows
        tap = hl.RDom([(0, columns), (0, inputs), (0, rows)], f"tap_{index}")
        weight = ((tap.z * inputs + tap.y) * columns + tap.x) * outputs + c
        at = side + tap.x - columns // 2  # columns from the left one of the pair
        source = self._values[node.sources[0]]
        if node.op.padding == "edge":
            source = _func(f"edge_{index}", self._pixels())
        total = hl.Func(f"sum_{index}")
        total[x, side, y, c] = self._parameters[offset + node.op.multiply_adds + c]
        total[x, side, y, c] += (
            self._parameters[offset + weight]
            * source[x + at // 2, at % 2, y + tap.z - rows // 2, tap.y]
        )
        self._sums[index] = total, [tap.x, tap.y], tap.z
        return total[x, side, y, c]

    def _is_stored(self, index):
        """Convolutions read neighbours, so their input is kept; so is what two nodes read."""
        readers = self._graph.readers[index]
        return len(readers) > 1 or any(
            isinstance(self._graph.nodes[reader].op, ops.Conv) for reader in readers)

    def _word(self):
        """Of the bytes of an output row of a pair: four to a word if they fit."""
        if self.word_type == np.uint8:
            return hl.u8(self._level(word))
        low = self._level(4 * word) | (self._level(4 * word + 1) << 8)
        return low | (self._level(4 * word + 2) << 16) | (self._level(4 * word + 3) << 24)

    def _level(self, place):
        """uint32, 0..255, at a place in the output row of a pair."""
        value = self._values[self._last][
            x, place // self._row_values, y, row * self._row_values + place % self._row_values
        ]
        return hl.u32(hl.i32(hl.clamp(value, 0.0, 255.0)))

    # The schedule: when and where it is computed. It changes no value.

    def _schedule(self):
        self._fix_layout()
        self._schedule_output()
        self._values[self._last].compute_at(self.output, row)
        self._schedule_blocks(self._last, self._row_values)
        for index in self._stored:
            self._schedule_stored(index)
        for index in self._spreads:
            self._schedule_spread(index)

    def _fix_layout(self):
        output = self.output.output_buffer()
        for buffer, extent in ((self.image, self._graph.channels), (output, self.words)):
            buffer.dim(0).set_bounds(0, extent).set_stride(1)
            buffer.dim(1).set_stride(extent)
            buffer.dim(buffer.dimensions() - 1).set_min(0)
        self.image.dim(1).set_min(0)
        output.dim(2).set_bounds(0, self._graph.scale)
        output.dim(3).set_extent(output.dim(3).extent() // 2 * 2)
        self.output.bound(word, 0, self.words).bound(row, 0, self._graph.scale)

    def _schedule_output(self):
        """Stripes of lines in parallel; in each, line by line. All output rows of a block at once,
        while what they are computed from is in the nearest cache."""
        shift = hl.TailStrategy.ShiftInwards
        (
            self.output.split(y, line, twin, 2, hl.TailStrategy.RoundUp)
            .split(line, stripe, line, self._stripe_lines, shift)
            .split(x, block, lane, self.block_pairs, shift)
            .reorder(word, lane, twin, row, block, line, stripe)
            .unroll(word).vectorize(lane).unroll(twin)
            .parallel(stripe)
        )

    def _schedule_stored(self, index):
        """The last rows of a layer: made just before the output row that needs them."""
        width = self._graph.widths[index]
        readers = [i for i in self._graph.readers[index] if not self._reads_spread(i)]
        self._keep_rows(self._values[index], index, side, readers)
        self._schedule_blocks(index, width)

    def _schedule_spread(self, index):
        spread = self._spreads[index]
        readers = [i for i in self._graph.readers[index] if self._reads_spread(i)]
        self._keep_rows(spread, index, term, readers)
        # Left to itself, Halide derives each layer's columns from those of its readers, in terms
        # that grow threefold a layer: a kernel of eleven layers took it minutes.
        spread.bound(x, *self._columns(readers))
        spread.bound(term, 0, 4).split(x, x, lane, self.block_pairs, hl.TailStrategy.RoundUp)
        spread.reorder(lane, term, x, c, y).vectorize(lane).unroll(term)

    def _keep_rows(self, func, index, which, readers):
        """Store the two rows of the newest line and all down to the oldest still read, their number
        a power of two for cheap wrapping. Where only a spread is made from it, nobody reads older
        ones. `which` is its second Var."""
        leads = self._leads
        oldest = [leads[reader] - self._graph.nodes[reader].op.reach for reader in readers]
        rows = leads[index] - min(oldest, default=leads[index]) + 2
        func.store_at(self.output, stripe).compute_at(self.output, line)
        func.bound(c, 0, self._graph.widths[index])
        func.fold_storage(y, 1 << (rows - 1).bit_length())
        func.reorder_storage(x, c, which, y).align_storage(x, ROW_PAIRS)

    def _columns(self, readers):
        """First pair and number of pairs of a row of a spread: whole blocks."""
        left, more = (max(beside) for beside in zip(*(self._beside[each] for each in readers)))
        blocks = (self._pairs() + self.block_pairs - 1) // self.block_pairs + more
        return -left, blocks * self.block_pairs

    def _schedule_blocks(self, index, width):
        """Blocks of pairs, rows and channels, with the sums they are made of in registers."""
        func = self._values[index]
        (
            func.bound(side, 0, 2)
            .split(c, part, channel, self._group(width), hl.TailStrategy.ShiftInwards)
            .split(y, line, twin, 2, hl.TailStrategy.RoundUp)
            .split(x, block, lane, self.block_pairs, hl.TailStrategy.RoundUp)
            .reorder(lane, twin, side, channel, part, block, line)
            .vectorize(lane).unroll(twin).unroll(side).unroll(channel)
        )
        for convolution in self._convolutions(index):
            self._schedule_sum(convolution, func)

    def _schedule_sum(self, index, consumer):
        total, taps, rows = self._sums[index]
        by_pairs = self._reads_spread(index)
        which, count = (term, 4) if by_pairs else (side, 2)
        total.compute_at(consumer, part).bound(which, 0, count)
        total.reorder(x, y, which, c).vectorize(x).unroll(y).unroll(which).unroll(c)
        update = total.update()
        # What is loaded serves all that is innermost: a weight both rows, a pixel its outputs.
        if by_pairs:  # over all taps with two of the terms, then with the other two
            update.split(term, half, term, 2).reorder(x, y, c, term, rows, *taps, half)
            update.unroll(half)
        else:
            update.reorder(x, y, side, c, rows, *taps)
        update.vectorize(x).unroll(y).unroll(c).unroll(which)
        if self._graph.nodes[index].op.kernel <= 3:  # of more, too much is kept at hand
            update.unroll(rows)

    def _convolutions(self, index):
        """The convolutions that a node consists of, through pointwise operations."""
        if index in self._sums:
            return [index]
        inner = [source for source in self._graph.nodes[index].sources
                 if source not in self._stored]
        return [found for source in inner for found in self._convolutions(source)]

    def _group(self, width):
        """Channels of `width` computed at once: few enough that their sums stay in registers,
        enough that what is loaded is used more than once."""
        groups = range(self._max_group, 0, -1)
        return min(groups, key=lambda group: -(-width // group) * group)

    def _reads_spread(self, index):
        return _is_by_pairs(self._graph.nodes[index].op)


def _tanh(value):
    """By the exponential, which Halide computes in vectors; libm's tanh goes value by value."""
    return 1 - 2 / (hl.exp(2 * hl.clamp(value, -20.0, 20.0)) + 1)


def _sigmoid(value):
    return 1 / (1 + hl.exp(-hl.clamp(value, -40.0, 40.0)))


def normal_share(value: hl.Expr) -> hl.Expr:
    """The share of the standard normal distribution below a value, by which GELU multiplies it.

    By the error function of Abramowitz and Stegun 7.1.26, exact to 1.5e-7.
    """
    at = hl.abs(value) * np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * at)
    series = hl.f32(0)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    beyond = series * hl.exp(-at * at)  # 1 - erf(at)
    return hl.select(value > 0, 1 - beyond / 2, beyond / 2)


# Operation -> its value at (x, side, y, c), of the kernel, the node's index, the node and where its
# parameters begin.
_VALUES = {
    ops.Conv: Kernel.convolution,
    ops.PReLU: Kernel.prelu,
    ops.ReLU: lambda kernel, _, node, __: hl.max(kernel.source(node), hl.f32(0)),
    ops.LeakyReLU: lambda kernel, _, node, __: hl.select(
        kernel.source(node) > 0, kernel.source(node),
        kernel.source(node) * hl.f32(node.op.slope)),
    ops.Tanh: lambda kernel, _, node, __: _tanh(kernel.source(node)),
    ops.Sigmoid: lambda kernel, _, node, __: _sigmoid(kernel.source(node)),
    ops.GELU: lambda kernel, _, node, __: (
        kernel.source(node) * normal_share(kernel.source(node))),
    ops.Add: lambda kernel, _, node, __: kernel.source(node) + kernel.source(node, 1),
}


def _value_of(kernel, index, node, offset):
    if type(node.op) not in _VALUES:
        raise ops.Unsupported(f"halide has no {node.op.title}")
    return _VALUES[type(node.op)](kernel, index, node, offset)


def pack_parameters(graph):
    """A graph's arrays as the kernel reads them.

    Parameters
    ----------
    graph : Graph, the one the kernel was made from, or another of the same shape.

    Returns
    -------
    float32 array, 1-D
    """
    return np.concatenate([_parameters_of(node.op, graph.arrays) for node in graph.nodes])


def _parameters_of(op, arrays):
    """Kernels as (row, input, column or term, output), then biases; slopes; nothing."""
    if isinstance(op, ops.PReLU):
        return op.slopes(arrays)
    if not isinstance(op, ops.Conv):
        return np.empty(0, np.float32)
    kernel = arrays[op.weight].transpose(2, 1, 3, 0)
    if _is_by_pairs(op):
        g0, g1, g2 = np.moveaxis(kernel, 2, 0)
        kernel = np.stack([g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2], axis=2)
    return np.concatenate([kernel.ravel(), arrays[op.bias]])


def _is_by_pairs(op):
    return isinstance(op, ops.Conv) and op.kernel == 3 and op.padding == "zero"


def _leads(graph):
    """How many rows below an output row each node must be known."""
    leads = [0] * len(graph.nodes)
    for index in reversed(range(len(graph.nodes))):
        for source in graph.nodes[index].sources:
            leads[source] = max(leads[source], leads[index] + graph.nodes[index].op.reach)
    return leads


def _beside(graph, block):
    """How far beyond the picture each node must be known, because convolutions by taps read there:
    pairs to the left, and blocks in all, since each layer is computed in whole ones."""
    beside = [(0, 0)] * len(graph.nodes)
    for index in reversed(range(len(graph.nodes))):
        op, (left, blocks) = graph.nodes[index].op, beside[index]
        if isinstance(op, ops.Conv) and not _is_by_pairs(op):
            reach = -(-op.reach // 2)
            left, blocks = left + reach, blocks - (-2 * reach // block)
        for source in graph.nodes[index].sources:
            beside[source] = max(beside[source][0], left), max(beside[source][1], blocks)
    return beside


def _func(name, value):
    func = hl.Func(name)
    func[x, side, y, c] = value
    return func


def _has_32_registers(target):
    return target.has_feature(hl.TargetFeature.AVX512) or target.arch == hl.TargetArch.ARM
