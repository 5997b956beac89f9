"""Figures that others have published, to stand beside ours in the tables. Data, nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One method's PSNR on Y at one scale, border = scale cropped unless the source says else."""

    method: str
    scale: int
    parameters: str | None  # as the source states them; None where it does not
    psnr_db: dict  # name of the set -> dB
    source: str


def _sets(*psnr_db):
    return {name: value for name, value in zip(("Set5", "Set14", "B100"), psnr_db) if value}


PUBLISHED = (
    Published("bicubic", 2, None, _sets(33.66, 30.23, 29.56), "the field's tables since SRCNN"),
    Published("bicubic", 3, None, _sets(30.39, 27.54, 27.21), "the field's tables since SRCNN"),
    Published("bicubic", 4, None, _sets(28.42, 26.00, 25.96), "the field's tables since SRCNN"),
    Published("ESPCN, luma", 3, None, _sets(32.55, 29.08), "arXiv 1609.05158, 91 images"),
    Published("PyTorch port of ELSR", 4, "3,469", _sets(27.84, 25.69, 25.75),
              "its released weights, run by us"),
    Published("ESPCN D12-S12, luma", 4, "3,364", _sets(30.40, 27.41, 26.86),
              "edge-SR study; in its own protocol, bicubic 28.60 26.09 26.02"),
    Published("FSRCNN, luma", 4, "12.5K", _sets(30.72, 27.61, 26.98), "arXiv 1608.00367"),
    Published("ESPCN, luma", 4, "~25K", _sets(30.90, 27.73, 27.06), "arXiv 1609.05158, ImageNet"),
    Published("SRCNN, luma", 4, "57K", _sets(30.48, 27.49, 26.90), "arXiv 1501.00092"),
    Published("EDSR-baseline", 4, "1.5M", _sets(32.09, 28.58, 27.56), "arXiv 1707.02921"),
)  # fmt: skip


def published(scale, names):
    """The published figures at a scale that cover at least one of the sets named.

    Returns
    -------
    list of Published, in the order of the table above.
    """
    return [row for row in PUBLISHED if row.scale == scale and set(row.psnr_db) & set(names)]
