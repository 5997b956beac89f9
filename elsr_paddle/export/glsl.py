"""Write a network as passes of a GPU's fragment shader, for every player and page that runs GLSL.

Features lie four channels to a texel, a convolution multiplies vectors by matrices of constants,
and what follows it without looking at neighbours, as an activation or a skip, joins its pass. All
passes but the last work at the picture's resolution; the last one shuffles pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.rewrites import at_lr, folded

CHANNELS = 4  # of a texel
DIGITS = 7  # of a constant: a float32 holds as many


@dataclass(frozen=True)
class Dialect:
    """How a place that runs shaders reads its textures.

    Attributes
    ----------
    textures : int, how many a pass can write
    fetch : callable, (texture, x, y) -> expression of vec4: the texel that lies x to the right and
        y below; beyond the border the nearest one.
    place, size : callable, texture -> expression of vec2: where the texel lies, from the top left
        corner to its own middle, and how many there are, in texels
    """

    textures: int
    fetch: Callable[[str, int, int], str]
    place: Callable[[str], str]
    size: Callable[[str], str]


@dataclass(frozen=True)
class Pass:
    """A fragment shader that writes up to four channels of a node to each of its textures.

    Attributes
    ----------
    title : str, its operations in words
    reads, writes : tuple of str, names of textures
    functions : tuple of str, what its statements call
    statements : tuple of str; they leave the texels in `results`.
    results : tuple of str, expressions of vec4, one a texture that is written
    fetches : int, texels that it reads for one that it writes
    """

    title: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    functions: tuple[str, ...]
    statements: tuple[str, ...]
    results: tuple[str, ...]
    fetches: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A network as passes.

    Attributes
    ----------
    graph : Graph, whose last operation is the pixel shuffle
    picture : str, the texture with the picture: RGB, or luma in the first channel
    dialect : Dialect
    """

    graph: Graph
    picture: str
    dialect: Dialect

    @property
    def scale(self) -> int:
        """How many times the last pass enlarges."""
        return self.graph.scale

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The nodes that have textures of their own, but for the picture."""
        graph, last = self.graph, len(self.graph.nodes) - 1
        convolved = {node.sources[0] for node in graph.nodes if isinstance(node.op, ops.Conv)}
        shared = {index for index, readers in enumerate(graph.readers) if len(readers) > 1}
        return tuple(sorted((convolved | shared | {graph.nodes[last].sources[0]}) - {0}))

    @cached_property
    def passes(self) -> list[Pass]:
        """Every pass but the last, in order."""
        most = self.dialect.textures
        found = []
        for index in self.kept:
            groups = range(len(self.textures(index)))
            found += [_Statements(self, index, groups[first : first + most]).as_pass()
                      for first in range(0, len(groups), most)]
        return found

    def textures(self, index: int) -> list[str]:
        """Names of the textures that hold a node."""
        if index == 0:
            return [self.picture]
        return [f"f{index}_{group}" for group in range(-(-self.graph.widths[index] // CHANNELS))]

    @property
    def tail(self) -> list[str]:
        """Names of the textures that the last pass reads."""
        return self.textures(self.graph.nodes[-1].sources[0])

    def shuffle(self) -> str:
        """A GLSL function `float shuffled(int channel)` for the last pass.

        Channels before the shuffle are numbered channel * s * s + row * s + column. It reads the
        textures at the place of the LR pixel.
        """
        lines = ["float shuffled(int channel) {"]
        lines += [f"    if (channel < {CHANNELS * (group + 1)}) "
                  f"return {self.dialect.fetch(texture, 0, 0)}[channel - {CHANNELS * group}];"
                  for group, texture in enumerate(self.tail)]
        return "\n".join([*lines, "    return 0.0;", "}"])

    @property
    def fetches(self) -> int:
        """Texels read for a pixel of the picture, those of the last pass included."""
        return sum(made.fetches for made in self.passes) + self.scale**2 * self.graph.channels


def plan(graph: Graph, picture: str, dialect: Dialect) -> Plan:
    """A network as passes.

    Parameters
    ----------
    graph : Graph with arrays
    picture : str, name of the texture that holds the picture
    dialect : Dialect

    Raises
    ------
    Unsupported for an operation that no shader here has.
    """
    graph = at_lr(folded(graph))
    for node in graph.nodes[1:-1]:
        if not isinstance(node.op, (ops.Conv, *_EMITTERS)):
            raise ops.Unsupported(f"a shader has no {node.op.title}")
    return Plan(graph, picture, dialect)


class _Statements:
    """The statements of a pass under construction: some textures of one node that is kept."""

    def __init__(self, plan, index, groups):
        self._plan, self._index, self._groups = plan, index, groups
        self._lines, self._masks, self._functions, self._titles = [], {}, {}, []
        self._reads = {}  # texture -> None: a set that keeps its order
        self._fetches = 0

    def as_pass(self):
        values = self._values(self._index)
        texels = tuple(_texel(value, self._count(self._index, group))
                       for value, group in zip(values, self._groups))
        textures = self._plan.textures(self._index)
        writes = tuple(textures[group] for group in self._groups)
        lines = (*self._borders(), *self._lines)
        return Pass(", ".join(self._titles), tuple(self._reads), writes,
                    tuple(self._functions.values()), lines, texels, self._fetches)

    def _borders(self):
        """What `_mask` names: 1 where the texel beside is inside the picture, 0 elsewhere."""
        if not self._masks:
            return []
        first, dialect = next(iter(self._reads)), self._plan.dialect
        return [f"vec2 place = {dialect.place(first)};", f"vec2 size = {dialect.size(first)};",
                *self._masks.values()]

    def _count(self, index, group):
        """Channels of a group."""
        return min(CHANNELS, self._plan.graph.widths[index] - CHANNELS * group)

    def _values(self, index):
        """Names of variables with a node's channels, one a group."""
        if index != self._index and (index == 0 or index in self._plan.kept):
            return self._fetched(index)
        node = self._plan.graph.nodes[index]
        if isinstance(node.op, ops.Conv):
            values = self._convolved(index, node)
        else:
            values = self._pointwise(index, node)
        self._titles.append(node.op.describe())
        return values

    def _fetched(self, index):
        textures = self._plan.textures(index)
        return [self._declare(f"v{index}_{group}", self._count(index, group),
                              self._fetch(textures[group], 0, 0, self._count(index, group)))
                for group in self._groups]

    def _pointwise(self, index, node):
        given = [self._values(source) for source in node.sources]
        found = []
        for place, group in enumerate(self._groups):
            count = self._count(index, group)
            channels = slice(CHANNELS * group, CHANNELS * group + count)
            context = _Channels(node.op, self._plan.graph.arrays, channels, count)
            names = [values[place] for values in given]
            found.append(self._declare(f"v{index}_{group}", count,
                                       _EMITTERS[type(node.op)](context, *names)))
            self._functions.update(context.functions)
        return found

    def _convolved(self, index, node):
        op, arrays = node.op, self._plan.graph.arrays
        names = [f"v{index}_{group}" for group in self._groups]
        rows = [slice(CHANNELS * group, CHANNELS * group + self._count(index, group))
                for group in self._groups]
        for name, part in zip(names, rows):
            bias = arrays[op.bias][part]
            self._declare(name, len(bias), _vector(bias))
        for y, x in np.ndindex(op.kernel, op.kernel):
            taps = arrays[op.weight][:, :, y, x]  # (outputs, inputs)
            self._add_taps(names, [taps[part] for part in rows], node, x - op.reach, y - op.reach)
        return names

    def _add_taps(self, names, kernels, node, x, y):
        """Add what the texels at (x, y) give to each group; taps of zero are not read."""
        source, mask = node.sources[0], self._mask(node.op, x, y)
        for group, texture in enumerate(self._plan.textures(source)):
            count = self._count(source, group)
            parts = [kernel[:, CHANNELS * group : CHANNELS * group + count] for kernel in kernels]
            if not np.any(np.concatenate(parts)):
                continue
            texel = self._fetch(texture, x, y, count)
            sums = [f"{name} += {_product(part)};" for name, part in zip(names, parts)
                    if part.any()]
            self._lines.append(f"{{ {_type(count)} t = {texel}{mask}; {' '.join(sums)} }}")

    def _fetch(self, texture, x, y, count):
        self._fetches += 1
        self._reads[texture] = None
        return self._plan.dialect.fetch(texture, x, y) + f".{'xyzw'[:count]}"

    def _mask(self, op, x, y):
        """A factor that is 0 outside the picture, which a convolution pads with zeros."""
        if op.padding != "zero":
            return ""
        factors = []
        for axis, shift in (("x", x), ("y", y)):
            if shift:
                name = f"{axis}_{'plus' if shift > 0 else 'minus'}_{abs(shift)}"
                inside = (f"place.{axis} + {shift}.0 < size.{axis}" if shift > 0
                          else f"place.{axis} > {-shift}.0")
                self._masks[name] = f"float {name} = float({inside});"
                factors.append(name)
        return f" * ({' * '.join(factors)})" if factors else ""

    def _declare(self, name, count, expression):
        self._lines.append(f"{_type(count)} {name} = {expression};")
        return name


class _Channels:
    """Some channels of an operation that looks at each pixel alone."""

    def __init__(self, op, arrays, channels, count):
        self._arrays, self._channels = arrays, channels
        self.op, self.type, self.functions = op, _type(count), {}

    def slopes(self):
        """The slopes of a PReLU, as a vector."""
        return _vector(self.op.slopes(self._arrays)[self._channels])

    def call(self, name, lines, argument):
        """The call of a function on vectors of this length, which the pass then declares."""
        body = "\n".join(f"    {line}" for line in lines).replace("TYPE", self.type)
        self.functions[name, self.type] = f"{self.type} {name}({self.type} x) {{\n{body}\n}}"
        return f"{name}({argument})"


# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7 of erf.
_ERF = (
    "TYPE t = 1.0 / (1.0 + 0.3275911 * abs(x));",
    "TYPE sum = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t"
    " + 0.254829592) * t;",
    "return sign(x) * (1.0 - sum * exp(-x * x));",
)
_LARGEST_TANH = 15  # whose tanh is 1 in float32; some drivers divide infinities beyond 88

# Operation -> an expression, of its channels and the names of its inputs.
_EMITTERS = {
    ops.PReLU: lambda channels, x: f"max({x}, 0.0) + {channels.slopes()} * min({x}, 0.0)",
    ops.ReLU: lambda channels, x: f"max({x}, 0.0)",
    ops.LeakyReLU: lambda channels, x:
        f"max({x}, 0.0) + {_number(channels.op.slope)} * min({x}, 0.0)",
    ops.Tanh: lambda channels, x: f"tanh(clamp({x}, -{_LARGEST_TANH}.0, {_LARGEST_TANH}.0))",
    ops.Sigmoid: lambda channels, x: f"1.0 / (1.0 + exp(-{x}))",
    ops.GELU: lambda channels, x:
        f"{x} * (0.5 + 0.5 * {channels.call('error_function', _ERF, f'{x} * 0.70710678')})",
    ops.Add: lambda channels, x, y: f"{x} + {y}",
}


def _type(count):
    return "float" if count == 1 else f"vec{count}"


def _number(value):
    text = f"{value:.{DIGITS}g}"
    return text if set(text) & set(".e") else f"{text}.0"


def _vector(values):
    return f"{_type(len(values))}({', '.join(map(_number, values))})"


def _product(kernel):
    """The texel `t` times a matrix (rows, columns)."""
    rows, columns = kernel.shape
    if rows == 1:
        return f"dot({_vector(kernel[0])}, t)"
    if columns == 1:
        return f"{_vector(kernel[:, 0])} * t"
    numbers = ", ".join(map(_number, kernel.T.ravel()))  # GLSL fills columns first
    return f"mat{columns}x{rows}({numbers}) * t"


def _texel(value, count):
    return value if count == CHANNELS else f"vec4({value}{', 0.0' * (CHANNELS - count)})"
