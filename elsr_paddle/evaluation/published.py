"""List figures of others, as published or of their weights run by us, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.evaluation.peers import PEERS

_BY_US = ", run by us"  # how the source of such a figure ends
FRAME_PIXELS = 320 * 180  # of the LR frame that multiply-adds are counted for


@dataclass(frozen=True)
class Published:
    """One method's PSNR on Y at one scale, border = scale cropped unless the source says else."""

    method: str
    scale: int
    parameters: str | None  # as the source states them; None where it does not
    multiply_adds: int | None  # to enlarge a frame of 320x180; None for what is no network
    psnr_db: dict  # name of the set -> dB
    source: str

    @property
    def run_by_us(self) -> bool:
        """Whether the figures are of released weights, measured as ours are."""
        return self.source.endswith(_BY_US)


def _sets(*psnr_db):
    return {name: value for name, value in zip(("Set5", "Set14", "B100"), psnr_db) if value}


# Multiply-adds, from the layers: a network at LR resolution uses each weight of its kernels once
# for each LR pixel; biases and activations are not counted.
# Conv 5x5 1-56, 1x1 56-12, four times 3x3 12-12, 1x1 12-56, and a deconvolution 9x9 56-1, which
# at any scale spreads each LR pixel over 81 HR pixels:
_FSRCNN = FRAME_PIXELS * (25 * 56 + 56 * 12 + 4 * 9 * 12 * 12 + 12 * 56 + 81 * 56)  # 717.9 M


def _srcnn(scale):
    """Conv 9x9 1-64, 5x5 64-32, 5x5 32-1, all at HR resolution: 52.7 G at x4."""
    return FRAME_PIXELS * scale**2 * (81 * 64 + 25 * 64 * 32 + 25 * 32)


_RESIDUAL = 33 * 9 * 64 * 64 + 9 * 3 * 64  # EDSR-baseline: 16 blocks, one convolution more, head
_DOUBLING = 9 * 64 * 256  # before each pixel shuffle to x2, at the resolution before it
_TO_RGB = 9 * 64 * 3  # at HR resolution
_EDSR = {
    2: FRAME_PIXELS * (_RESIDUAL + _DOUBLING + 4 * _TO_RGB),  # 79.1 G
    4: FRAME_PIXELS * (_RESIDUAL + _DOUBLING + 4 * _DOUBLING + 16 * _TO_RGB),  # 114.2 G
}



def _run(method, scale, parameters, psnr_db, weights):
    """A network whose weights we ran in this package's protocol."""
    return Published(method, scale, parameters, _of_graph(method, scale), _sets(*psnr_db),
                     weights + _BY_US)


def _of_graph(method, scale):
    return FRAME_PIXELS * PEERS[method, scale].graph.multiply_adds


_EDGE_SR, _RELEASED = "edge-SR study's weights", "its released weights"
_TABLES = "the field's tables since SRCNN"

PUBLISHED = (
    Published("bicubic", 2, None, None, _sets(33.66, 30.23, 29.56), _TABLES),
    Published("bicubic", 3, None, None, _sets(30.39, 27.54, 27.21), _TABLES),
    Published("bicubic", 4, None, None, _sets(28.42, 26.00, 25.96), _TABLES),
    _run("ESPCN D10-S15, luma", 2, "2,169", (36.51, 32.31, 31.22), _EDGE_SR),
    Published("FSRCNN, luma", 2, "12.5K", _FSRCNN, _sets(37.00, 32.63, 31.53), "arXiv 1608.00367"),
    Published("SRCNN, luma", 2, "57K", _srcnn(2), _sets(36.66, 32.42, 31.36), "arXiv 1501.00092"),
    Published("EDSR-baseline", 2, "1.5M", _EDSR[2], _sets(37.99, 33.57, 32.16), "arXiv 1707.02921"),
    _run("ESPCN D10-S15, luma", 3, "2,849", (32.56, 29.16, 28.27), _EDGE_SR),
    Published("ESPCN, luma", 3, None, _of_graph("ESPCN, luma", 3), _sets(32.55, 29.08),
              "arXiv 1609.05158, 91 images"),
    Published("ESPCN, luma", 3, None, _of_graph("ESPCN, luma", 3), _sets(33.13, 29.49),
              "arXiv 1609.05158, ImageNet"),
    Published("SRCNN, luma", 3, "57K", _srcnn(3), _sets(32.75, 29.28, 28.41), "arXiv 1501.00092"),
    _run("ELSR-torch", 4, "3,469", (27.84, 25.69, 25.75), _RELEASED),
    _run("ESPCN D10-S15, luma", 4, "3,801", (30.29, 27.33, 26.79), _EDGE_SR),
    _run("ESPCN D12-S12, luma", 4, "3,364", (30.26, 27.33, 26.78), _EDGE_SR),
    _run("ESPCN D12-S24, luma", 4, "6,400", (30.41, 27.42, 26.84), _EDGE_SR),
    _run("ESPCN D16-S32, luma", 4, "9,680", (30.46, 27.45, 26.87), _EDGE_SR),
    _run("ECBSR-M4C16", 4, "16.8K", (30.89, 27.72, 27.06), _RELEASED),
    _run("ECBSR-M4C32", 4, "51.9K", (31.25, 27.96, 27.22), _RELEASED),
    _run("ETDS-M", 4, "72.6K", (31.42, 28.05, 27.27), _RELEASED),
    _run("ECBSR-M6C40", 4, "105K", (31.42, 28.12, 27.33), _RELEASED),
    Published("FSRCNN, luma", 4, "12.5K", _FSRCNN, _sets(30.72, 27.61, 26.98), "arXiv 1608.00367"),
    Published("ESPCN, luma", 4, "~25K", _of_graph("ESPCN, luma", 4), _sets(30.90, 27.73, 27.06),
              "arXiv 1609.05158, ImageNet"),
    Published("SRCNN, luma", 4, "57K", _srcnn(4), _sets(30.48, 27.49, 26.90), "arXiv 1501.00092"),
    Published("EDSR-baseline", 4, "1.5M", _EDSR[4], _sets(32.09, 28.58, 27.56), "arXiv 1707.02921"),
)  # fmt: skip

# The weights of ELSR-torch on its own clip, REDS frames at 320x180, every 4th, protocol `port`:
# run by us; bicubic has 29.22 dB there.
PORT_ON_ITS_CLIP_DB = 28.79


def published(scale, names):
    """The published figures at a scale that cover at least one of the sets named.

    Returns
    -------
    list of Published, in the order of the table above.
    """
    return [row for row in PUBLISHED if row.scale == scale and set(row.psnr_db) & set(names)]
