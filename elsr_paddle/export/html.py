"""Write a network as one page for a browser: WebGL 2 enlarges what is dropped on it.

Every pass writes up to four textures, so a convolution reads its neighbours once for 16 channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from elsr_paddle.export import pages
from elsr_paddle.export.browser import browser_page, enlarged_by
from elsr_paddle.export.format import ExportOptions, Format, network_name, write_bytes
from elsr_paddle.export.glsl import Dialect, Pass, Plan, plan
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.weights import Trained

MOST_PIXELS = 2**24  # of an output; larger pictures are cut: canvases of phones take no more
_BICUBIC_FETCHES = 16  # for each pixel of the output
_PICTURE = "picture"

_DIALECT = Dialect(
    textures=4,  # every WebGL 2 has as many
    fetch=lambda texture, x, y:
        f"texelFetch({texture}, clamp(at + ivec2({x}, {y}), ivec2(0), last), 0)",
    place=lambda texture: "vec2(at) + 0.5",
    size=lambda texture: "vec2(last) + 1.0",
)

_BEGIN = """#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;"""

# The source is wider and higher than the picture where it would be too large.
_SOURCE = "vec3 source_rgb() { return texelFetch(source, ivec2(gl_FragCoord.xy) + corner, 0).rgb; }"

# Luma as the package computes it, rounded to 8 bits, and what the colours differ from it.
_TO_LUMA = """vec4 texel() {
    vec3 levels = floor(source_rgb() * 255.0 + 0.5);
    float luma = floor(dot(levels, vec3(0.299, 0.587, 0.114)) + 0.5);
    return vec4(luma, levels - luma) / 255.0;
}"""
_TO_RGB = "vec4 texel() { return vec4(source_rgb(), 1.0); }"

# Keys' cubic convolution with a = -0.5 and mirrored borders, as `imaging.resize.imresize`.
_BICUBIC = """ivec2 mirrored(ivec2 place, ivec2 size) {
    place = max(place, -1 - place);
    return clamp(min(place, 2 * size - 1 - place), ivec2(0), size - 1);
}
vec4 weights(float x) {
    vec4 d = abs(vec4(x + 1.0, x, x - 1.0, x - 2.0));
    vec4 inner = (1.5 * d - 2.5) * d * d + 1.0;
    vec4 outer = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    return mix(outer, inner, lessThanEqual(d, vec4(1.0)));
}
vec4 bicubic(sampler2D image, ivec2 pixel) {
    vec2 place = (vec2(pixel) + 0.5) / SCALE.0 - 0.5;
    ivec2 corner = ivec2(floor(place)), size = textureSize(image, 0);
    vec4 across = weights(place.x - floor(place.x)), down = weights(place.y - floor(place.y));
    vec4 sum = vec4(0.0);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            sum += across[x] * down[y]
                * texelFetch(image, mirrored(corner + ivec2(x, y) - 1, size), 0);
    return sum;
}
ivec2 canvas_pixel() {
    int height = textureSize(picture, 0).y * SCALE;  // a canvas has its first row at the bottom
    return ivec2(gl_FragCoord.x, height - 1 - int(gl_FragCoord.y));
}"""

_LUMA_OUTPUT = """vec4 texel() {
    float luma = floor(clamp(shuffled(channel), 0.0, 1.0) * 255.0 + 0.5) / 255.0;
    return vec4(luma + bicubic(picture, pixel).yzw, 1.0);
}"""
_RGB_OUTPUT = """vec4 texel() {
    return vec4(shuffled(channel), shuffled(channel + SQUARE), shuffled(channel + 2 * SQUARE), 1.0);
}"""
_LUMA_BICUBIC = """vec4 texel() {
    vec4 found = bicubic(picture, canvas_pixel());
    return vec4(found.x + found.yzw, 1.0);
}"""
_RGB_BICUBIC = "vec4 texel() { return vec4(bicubic(picture, canvas_pixel()).rgb, 1.0); }"


def page(graph: Graph, name: str) -> str:
    """The text of a page.

    Parameters
    ----------
    graph : Graph with arrays
    name : str, shown on the page, such as `elsr-y x2`

    Raises
    ------
    Unsupported for an operation that shaders lack.
    """
    shaders = plan(graph, _PICTURE, _DIALECT)
    words = pages.Words(escape(f"{name} in your browser"), _INTRO.format(scale=graph.scale),
                        escape(_cost(shaders)))
    return pages.assemble(
        words, Path(__file__).with_name("page.html"), ("compare.css", "page.css"),
        ("compare.js", "network.js", "page.js"),
        compare=pages.comparison('<canvas class="before"></canvas>',
                                 '<canvas class="after"></canvas>',
                                 pages.film_controls(sound=True), _SAVE),
        sample=pages.data_uri(Path(__file__).with_name("sample.webp").read_bytes(), "image/webp"),
        network=pages.as_json(description(shaders, name)))


_INTRO = ("Drop a picture or a film. This page makes it {scale} times as wide and as high on your "
          "own device; nothing is sent anywhere.")
_SAVE = '<button type="button" data-page="save" hidden>Save picture</button>'


def _cost(shaders):
    fetches = shaders.fetches + shaders.scale**2 * (
        _BICUBIC_FETCHES if shaders.graph.channels == 1 else 0)
    return (f"{len(shaders.passes) + 2} passes; for a pixel of the picture {fetches} texels are "
            f"read and {shaders.graph.multiply_adds:,} numbers multiplied and added by the "
            "network. A picture or film whose result would have more than "
            f"{MOST_PIXELS // 10**6} million pixels is cut to its middle. Made by elsr-paddle. "
            "The cat: Chelsea, by Stefan van der Walt, CC0.")


def description(shaders: Plan, name: str) -> dict:
    """A network as `network.js` takes it: its shaders, and which texture stands where.

    Textures that are read no more are written again by later passes.
    """
    places = _slots(shaders)
    luma = shaders.graph.channels == 1

    def reads(textures: Iterable[str]):
        return [[texture, places[texture]] for texture in textures]

    passes = [{"source": _feature_source(made), "reads": reads(made.reads),
               "writes": [places[texture] for texture in made.writes]} for made in shaders.passes]
    output = [*([_PICTURE] if luma or _PICTURE not in shaders.tail else []), *shaders.tail]
    return {"name": name, "scale": shaders.scale, "slots": max(places.values()),
            "most_pixels": MOST_PIXELS, "passes": passes,
            "input": {"source": _input_source(luma), "reads": [["source", 0]], "writes": [0]},
            "output": {"source": _output_source(shaders, luma, output), "reads": reads(output)},
            "bicubic": {"source": _bicubic_source(shaders.scale, luma), "reads": reads([_PICTURE])}}


def _slots(shaders: Plan) -> dict[str, int]:
    """Name of a texture -> the number of the texture that holds it; the picture is number 0."""
    last_read = {texture: len(shaders.passes) for texture in shaders.tail}
    for number, made in reversed(list(enumerate(shaders.passes))):
        for texture in made.reads:
            last_read.setdefault(texture, number)
    places, free, count = {_PICTURE: 0}, [], 0
    for number, made in enumerate(shaders.passes):
        for texture in made.writes:
            if not free:
                count += 1
                free.append(count)
            places[texture] = free.pop()
        free += [places[texture] for texture, at in last_read.items()
                 if at == number and texture != _PICTURE]
    return places


def _shader(samplers, *parts):
    uniforms = [f"uniform sampler2D {name};" for name in samplers]
    return "\n".join([_BEGIN, *uniforms, *parts, ""])


def _one_texel(samplers, *parts, main=""):
    return _shader(samplers, *parts, "layout(location = 0) out vec4 result;",
                   f"void main() {{ {main}result = texel(); }}")


def _feature_source(made: Pass):
    results = [f"layout(location = {place}) out vec4 result_{place};"
               for place in range(len(made.results))]
    body = ["at = ivec2(gl_FragCoord.xy);", f"last = textureSize({made.reads[0]}, 0) - 1;",
            *made.statements,
            *(f"result_{place} = {texel};" for place, texel in enumerate(made.results))]
    main = ["void main() {", *(f"    {line}" for line in body), "}"]
    return _shader(made.reads, *results, "ivec2 at, last;", *made.functions, *main)


def _input_source(luma):
    return _one_texel(["source"], "uniform ivec2 corner;", _SOURCE,
                      _TO_LUMA if luma else _TO_RGB)


def _output_source(shaders, luma, samplers):
    """Shuffle the pixels, and add the colours to luma."""
    scale = shaders.scale
    place = (f"pixel = canvas_pixel(); at = pixel / {scale}; last = textureSize(picture, 0) - 1; "
             f"channel = (pixel.y % {scale}) * {scale} + pixel.x % {scale}; ")
    texel = _LUMA_OUTPUT if luma else _RGB_OUTPUT.replace("SQUARE", str(scale**2))
    return _one_texel(samplers, "ivec2 pixel, at, last;", "int channel;",
                      _BICUBIC.replace("SCALE", str(scale)), shaders.shuffle(), texel, main=place)


def _bicubic_source(scale, luma):
    return _one_texel([_PICTURE], _BICUBIC.replace("SCALE", str(scale)),
                      _LUMA_BICUBIC if luma else _RGB_BICUBIC)


class HtmlPage(Format):
    """A page for a browser, verified in headless Chromium."""

    name = "html"
    help = "one page for any browser with WebGL 2: pictures and films, nothing to install"
    suffix = ".html"
    runtime = "Chromium"

    def write(self, trained: Trained, folder: Path, options: ExportOptions) -> list[Path]:
        """Write the page."""
        text = page(trained.graph, network_name(trained).replace("_", " "))
        return [write_bytes(self.path(trained, folder), text.encode())]

    def run(self, files: Sequence[Path], image: np.ndarray) -> np.ndarray:
        """Drop a picture on the page in headless Chromium and read its canvas."""
        with browser_page() as opened:
            opened.goto(files[0].absolute().as_uri())
            return enlarged_by(opened, image)
