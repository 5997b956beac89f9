"""List figures that others have published, to stand beside ours in the tables."""

from __future__ import annotations

from dataclasses import dataclass

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


def _sets(*psnr_db):
    return {name: value for name, value in zip(("Set5", "Set14", "B100"), psnr_db) if value}


# Multiply-adds, from the layers: a network at LR resolution uses each weight of its kernels once
# for each LR pixel; biases and activations are not counted.
# ELSR, conv 3x3, 3-6, 6-6, 6-6, 6-48:
_PORT = FRAME_PIXELS * 9 * (3 * 6 + 6 * 6 + 6 * 6 + 6 * 48)  # 196.0 M
# Conv 5x5 1-12, 3x3 12-12, 3x3 12-16; with 40 biases, the 3,364 parameters that the study states:
_ESPCN_D12_S12 = FRAME_PIXELS * (25 * 12 + 9 * 12 * 12 + 9 * 12 * 16)  # 191.5 M
# Conv 5x5 1-56, 1x1 56-12, four times 3x3 12-12, 1x1 12-56, and a deconvolution 9x9 56-1, which
# at any scale spreads each LR pixel over 81 HR pixels:
_FSRCNN = FRAME_PIXELS * (25 * 56 + 56 * 12 + 4 * 9 * 12 * 12 + 12 * 56 + 81 * 56)  # 717.9 M


def _espcn(scale):
    """Conv 5x5 1-64, 3x3 64-32, 3x3 32-scale^2: 1.42 G at x4."""
    return FRAME_PIXELS * (25 * 64 + 9 * 64 * 32 + 9 * 32 * scale**2)


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

_TABLES = "the field's tables since SRCNN"

PUBLISHED = (
    Published("bicubic", 2, None, None, _sets(33.66, 30.23, 29.56), _TABLES),
    Published("bicubic", 3, None, None, _sets(30.39, 27.54, 27.21), _TABLES),
    Published("bicubic", 4, None, None, _sets(28.42, 26.00, 25.96), _TABLES),
    Published("FSRCNN, luma", 2, "12.5K", _FSRCNN, _sets(37.00, 32.63, 31.53), "arXiv 1608.00367"),
    Published("SRCNN, luma", 2, "57K", _srcnn(2), _sets(36.66, 32.42, 31.36), "arXiv 1501.00092"),
    Published("EDSR-baseline", 2, "1.5M", _EDSR[2], _sets(37.99, 33.57, 32.16), "arXiv 1707.02921"),
    Published("ESPCN, luma", 3, None, _espcn(3), _sets(32.55, 29.08),
              "arXiv 1609.05158, 91 images"),
    Published("ESPCN, luma", 3, None, _espcn(3), _sets(33.13, 29.49),
              "arXiv 1609.05158, ImageNet"),
    Published("SRCNN, luma", 3, "57K", _srcnn(3), _sets(32.75, 29.28, 28.41), "arXiv 1501.00092"),
    Published("ELSR-torch", 4, "3,469", _PORT, _sets(27.84, 25.69, 25.75),
              "its released weights, run by us"),
    Published("ESPCN D12-S12, luma", 4, "3,364", _ESPCN_D12_S12, _sets(30.26, 27.33, 26.78),
              "edge-SR study's weights, run by us"),
    Published("FSRCNN, luma", 4, "12.5K", _FSRCNN, _sets(30.72, 27.61, 26.98), "arXiv 1608.00367"),
    Published("ESPCN, luma", 4, "~25K", _espcn(4), _sets(30.90, 27.73, 27.06),
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
