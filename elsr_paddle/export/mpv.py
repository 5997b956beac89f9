"""Write a network on luma as a user shader for mpv, IINA, and all that is built on libplacebo.

The player keeps what is its own: subtitles, HDR, frame rates, and the scaling to a size that is not
the network's.
"""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.export.format import ExportOptions, Format, network_name, write_bytes
from elsr_paddle.export.glsl import CHANNELS, Dialect, Pass, Plan, plan
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.operations import Unsupported
from elsr_paddle.networks.weights import Trained

_LUMA = "LUMA"  # the players' name of the plane
_MOST_TEXTURES = 16  # that the players let a pass read

_DIALECT = Dialect(
    textures=1,
    fetch=lambda texture, x, y: f"{texture}_texOff(vec2({x}.0, {y}.0))",
    place=lambda texture: f"{texture}_pos * {texture}_size",
    size=lambda texture: f"{texture}_size",
)


def user_shader(graph: Graph, name: str) -> str:
    """The text of a user shader.

    Parameters
    ----------
    graph : Graph with arrays, of a network on luma
    name : str, shown by the player, such as `elsr-y x2`

    Raises
    ------
    Unsupported for a network on RGB, one that is too wide, or an operation that shaders lack.
    """
    if graph.channels != 1:
        raise Unsupported("expected a network on luma for a player but got one on RGB")
    shader = plan(graph, _LUMA, _DIALECT)
    widest = max(len(made.reads) for made in shader.passes)
    if widest > _MOST_TEXTURES:
        raise Unsupported(f"a player's shader has no pass that reads {widest} textures")
    blocks = [_feature_pass(shader, made, f"{name}, {number}: {made.title}")
              for number, made in enumerate(shader.passes, 1)]
    return "\n".join([_header(graph, shader, name), *blocks, _last_pass(shader, name)])


def _header(graph, shader, name):
    """What a reader should know, and what it costs the GPU."""
    text = (f"{name}, a super-resolution network on luma, exported by elsr-paddle. "
            f"{len(shader.passes) + 1} passes; {shader.fetches} texels read and "
            f"{shader.graph.multiply_adds} multiply-adds for a pixel of the film, "
            f"which becomes {graph.scale}x{graph.scale} pixels. It takes the range of the film, "
            "limited or full. It rests where the window is nearer to the next smaller whole scale.")
    return "\n".join(textwrap.wrap(text, 96, initial_indent="// ", subsequent_indent="// ")) + "\n"


def _feature_pass(shader: Plan, made: Pass, title: str) -> str:
    body = [*made.functions, "vec4 hook() {", *(f"    {line}" for line in made.statements),
            f"    return {made.results[0]};", "}", ""]
    size = [f"//!SAVE {made.writes[0]}", "//!WIDTH LUMA.w", "//!HEIGHT LUMA.h",
            f"//!COMPONENTS {CHANNELS}"]
    return "\n".join([*_hook(shader, title, made.reads), *size, *body])


def _last_pass(shader: Plan, name: str) -> str:
    """Shuffle the pixels: each takes one channel of the LR pixel that it lies in."""
    first, scale = shader.tail[0], shader.scale
    size = [f"//!WIDTH LUMA.w {scale} *", f"//!HEIGHT LUMA.h {scale} *", "//!COMPONENTS 1"]
    fetch = Dialect(1, lambda texture, x, y: f"{texture}_tex(lr)", _DIALECT.place, _DIALECT.size)
    select = Plan(shader.graph, shader.picture, fetch).shuffle()
    body = ["vec2 lr;  // the middle of the LR pixel", select, "vec4 hook() {",
            f"    vec2 corner = floor({first}_pos * {first}_size);",
            f"    ivec2 part = ivec2(({first}_pos * {first}_size - corner) * {scale}.0);",
            f"    lr = (corner + 0.5) * {first}_pt;",
            f"    float luma = shuffled(part.y * {scale} + part.x);",
            "    return vec4(clamp(luma, 0.0, 1.0), 0.0, 0.0, 1.0);", "}", ""]
    title = f"{name}, {len(shader.passes) + 1}: {shader.graph.nodes[-1].op.describe()}"
    return "\n".join([*_hook(shader, title, shader.tail), *size, *body])


def _hook(shader, title, reads):
    """What every pass begins with; all run, or none."""
    bind = [f"//!BIND {texture}" for texture in reads]
    return [f"//!DESC {title}", f"//!HOOK {_LUMA}", *bind, f"//!WHEN {_condition(shader.scale)}"]


def _condition(scale):
    """Where the window is nearer to this scale than to the one below, by their ratios."""
    least = f"{(scale * (scale - 1)) ** 0.5:.3f}"
    return f"OUTPUT.w LUMA.w {least} * > OUTPUT.h LUMA.h {least} * > *"


class MpvShader(Format):
    """A user shader for video players, verified in FFmpeg's libplacebo filter."""

    name = "mpv"
    help = "user shader for mpv, IINA and libplacebo, from networks on luma"
    suffix = ".glsl"
    runtime = "FFmpeg's libplacebo filter"

    def write(self, trained: Trained, folder: Path, options: ExportOptions) -> list[Path]:
        """Write the shader."""
        name = network_name(trained).replace("_", " ")
        text = user_shader(trained.graph, name)
        return [write_bytes(self.path(trained, folder), text.encode())]

    def run(self, files: Sequence[Path], image: np.ndarray) -> np.ndarray:
        """Enlarge a picture by FFmpeg's libplacebo filter, on a GPU or on Mesa's lavapipe."""
        if image.ndim == 3:
            return upscale_by_luma(image, lambda plane: self.run(files, plane))
        scale = int(files[0].stem.rpartition("_x")[2])
        return run_shader(files[0], image, scale)


def run_shader(path: Path, plane: np.ndarray, scale: int) -> np.ndarray:
    """Run a user shader on a plane of luma.

    Parameters
    ----------
    path : Path of the shader
    plane : uint8 array (H, W), full range
    scale : int, of the shader

    Returns
    -------
    uint8 array (scale * H, scale * W)

    Raises
    ------
    InputError if FFmpeg or its filter or Vulkan is missing.
    """
    if not shutil.which("ffmpeg"):
        raise InputError("ffmpeg is not installed: a build with libplacebo is needed to run a "
                         "player's shader")
    height, width = plane.shape
    neutral = np.full((2, height, width), 128, np.uint8)  # no colour
    frame = np.concatenate([plane[None], neutral]).tobytes()
    done = subprocess.run(_command(path, width, height, scale), input=frame, capture_output=True)
    size = scale**2 * height * width
    if done.returncode or len(done.stdout) != 3 * size:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no frame came"]
        raise InputError(f"ffmpeg's libplacebo filter could not run {path.name}: {reason[0]}")
    return np.frombuffer(done.stdout, np.uint8)[:size].reshape(scale * height, scale * width)


def _command(path, width, height, scale):
    """FFmpeg's arguments: one frame of 4:4:4 in full range from a pipe to a pipe."""
    # The name of the file stands in a filter's argument, whose own signs are to be escaped twice.
    escaped = str(path.absolute()).replace("\\", r"\\").replace(":", r"\:").replace("'", r"\'")
    quoted = "".join(f"\\{sign}" if sign in "\\'[],;" else sign for sign in escaped)
    shader = (f"libplacebo=w={scale * width}:h={scale * height}:format=yuv444p:"
              f"colorspace=smpte170m:range=pc:dithering=none:custom_shader_path={quoted}")
    chain = (f"setparams=range=pc:colorspace=smpte170m,hwupload,{shader},hwdownload,"
             "format=yuv444p")
    return ["ffmpeg", "-v", "error", "-init_hw_device", "vulkan=gpu", "-filter_hw_device", "gpu",
            "-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{height}", "-i", "pipe:0",
            "-vf", chain, "-f", "rawvideo", "-pix_fmt", "yuv444p", "pipe:1"]
