"""Write a page that shows what a network does: each picture and clip beside bicubic.

The page is one file. It holds a limited number of pictures of limited size, and says so.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.clip import MIME_TYPE, StackedClip
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.export import pages
from elsr_paddle.files import atomic_write
from elsr_paddle.imaging.resize import imresize

if TYPE_CHECKING:
    from elsr_paddle.evaluation.compare import Item

MOST_ITEMS = 12
MOST_FRAMES = 96  # of a clip: four seconds of film
_PICTURE_BOX, _CLIP_BOX = (1600, 1200), (960, 540)  # width and height; larger ones are cut
_LOSSLESS_PIXELS = 2**19  # of a picture; larger ones are compressed
_QUALITY = 92  # of WebP
_ORIGINAL = "original"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A picture or a clip of the report, ready for the page.

    Attributes
    ----------
    name, note : str
    psnr_db : dict, label -> dB, of a clip the means; None for infinity, which JSON lacks.
    images : dict, label -> address of an image; the first one stands at the left at first, the last
        one at the right
    clip : str, base64 of a film with the left clip above the right one; empty for pictures
    labels : tuple of str, of the two clips
    frames_per_second : float
    frame_psnr_db : dict, label -> dB of each frame
    """

    name: str
    note: str = ""
    psnr_db: dict[str, float | None] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    clip: str = ""
    labels: tuple[str, ...] = ()
    frames_per_second: float = 0.0
    frame_psnr_db: dict[str, list[float | None]] = field(default_factory=dict)


class Report:
    """A page under construction.

    Parameters
    ----------
    title : str
    note : str, what was done, in a sentence or two
    """

    def __init__(self, title: str, note: str = ""):
        self._title, self._note = title, note
        self._shown: list[Shown] = []
        self._left_out = 0

    @property
    def full(self) -> bool:
        """Whether no further picture is taken; those that come are counted."""
        return len(self._shown) >= MOST_ITEMS

    def leave_out(self) -> None:
        """Count a picture or film that the page does not show."""
        self._left_out += 1

    def add_picture(self, name: str, images: dict[str, np.ndarray],
                    psnr_db: dict[str, float] | None = None) -> None:
        """Show a picture.

        Parameters
        ----------
        name : str
        images : dict, label -> uint8 array (H, W, 3), RGB, all of one size
        psnr_db : dict, label -> dB against the original, where there is one
        """
        if self.full:
            self.leave_out()
            return
        cut, note = _middle(images, _PICTURE_BOX)
        addresses = {label: _address(image) for label, image in cut.items()}
        self._shown.append(Shown(name, note, _for_json(psnr_db or {}), addresses))

    def add_item(self, item: Item, name: str) -> None:
        """Show an image that was evaluated, with its original and the dB."""
        scores = item.record().scores
        images = {BICUBIC: item.bicubic, _ORIGINAL: item.hr}
        images.update({network: found.image for network, found in item.restored.items()})
        self.add_picture(name, images, {label: found.psnr_db for label, found in scores.items()})

    def add_clip(self, name: str, clip: ReportClip) -> None:
        """Show a clip."""
        if clip.frames == 0:
            return
        if self.full:
            self.leave_out()
            return
        self._shown.append(clip.shown(name))

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all.

        Raises
        ------
        InputError if there is nothing to show.
        """
        if not self._shown:
            raise InputError(f"expected a picture or film for {path} but none was made")
        words = pages.Words(escape(self._title), escape(self._note), escape(self._foot()))
        text = pages.assemble(
            words, _HERE / "report.html", ("compare.css", _HERE / "report.css"),
            ("compare.js", _HERE / "report.js"),
            comparison=pages.comparison("", "", pages.film_controls(sound=False), _SELECTS),
            shown=pages.as_json([vars(shown) for shown in self._shown]))
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _foot(self):
        left_out = f" {self._left_out} more are left out: it takes {MOST_ITEMS}." \
            if self._left_out else ""
        width, height = _PICTURE_BOX
        return (f"This page is one file and loads nothing from elsewhere.{left_out} Pictures "
                f"beyond {width}x{height} are cut to their middle, and large ones compressed as "
                f"WebP of quality {_QUALITY}; clips end after {MOST_FRAMES} frames. Made by "
                "elsr-paddle.")


_SELECTS = ('<span class="sides"><label>Left <select></select></label>'
            '<label>Right <select></select></label></span>')


class ReportClip:
    """A clip for a report: frames of bicubic and of a network, up to `MOST_FRAMES`.

    Parameters
    ----------
    network : str, its label
    frames_per_second : float
    """

    def __init__(self, network: str, frames_per_second: float):
        self._labels, self._rate = (BICUBIC, network), frames_per_second
        self._clip, self._note = StackedClip(frames_per_second), ""
        self._psnr_db: dict[str, list[float]] = {}

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._clip.frames

    @property
    def full(self) -> bool:
        """Whether no further frame is taken."""
        return self.frames >= MOST_FRAMES

    def add(self, bicubic: np.ndarray, restored: np.ndarray,
            psnr_db: dict[str, float] | None = None) -> None:
        """Append a frame, uint8 arrays (H, W, 3), and its dB where an original is known."""
        if self.full:
            return
        cut, self._note = _middle(dict(zip(self._labels, (bicubic, restored))), _CLIP_BOX)
        self._clip.add(*(_even(image) for image in cut.values()))
        for label, value in (psnr_db or {}).items():
            self._psnr_db.setdefault(label, []).append(value)

    def add_item(self, item: Item) -> None:
        """Append a frame that was evaluated."""
        scores = item.record().scores
        self.add(item.bicubic, item.restored[self._labels[1]].image,
                 {label: scores[label].psnr_db for label in self._labels})

    def shown(self, name: str) -> Shown:
        """The clip as the page takes it; no frame can be added any more."""
        means = {label: float(np.mean(values)) for label, values in self._psnr_db.items()}
        address = pages.data_uri(self._clip.finish(), MIME_TYPE)
        frames = {label: list(map(_finite, values)) for label, values in self._psnr_db.items()}
        note = f"{self.frames} frames{', ' if self._note else ''}{self._note}"
        return Shown(name, note, _for_json(means), clip=address.partition(",")[2],
                     labels=self._labels, frames_per_second=self._rate, frame_psnr_db=frames)


def add_enlarged_picture(report: Report, source: Path, output: Path, network: str) -> None:
    """Show a picture that was enlarged, beside bicubic of the same size.

    Parameters
    ----------
    report : Report
    source, output : Path, of the picture before and after
    network : str, its label
    """
    from elsr_paddle.imaging.io import read_image

    if report.full:
        report.leave_out()
        return
    restored = read_image(output)
    bicubic = imresize(read_image(source), size=restored.shape[:2])
    report.add_picture(source.name, {BICUBIC: bicubic, network: restored})


def add_enlarged_film(report: Report, source: Path, output: Path, network: str) -> None:
    """Show the beginning of a film that was enlarged, beside bicubic of the same size.

    Where a file breaks off, which enlarging it has told, the clip ends.
    """
    from elsr_paddle.video.read import frame_rate, numbered_frames

    if report.full:
        report.leave_out()
        return
    clip = ReportClip(network, frame_rate(output))
    both = (numbered_frames(path, on_error=lambda error: None) for path in (source, output))
    for (_, frame), (_, restored) in zip(*both):
        clip.add(imresize(frame, size=restored.shape[:2]), restored)
        if clip.full:
            break
    report.add_clip(source.name, clip)


def _middle(images, box):
    """Equally large images cut to a box of (width, height), and a note where they were."""
    height, width = next(iter(images.values())).shape[:2]
    columns, rows = min(width, box[0]), min(height, box[1])
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = {label: image[top : top + rows, left : left + columns]
           for label, image in images.items()}
    whole = (columns, rows) == (width, height)
    return cut, "" if whole else f"the middle {columns}x{rows} of {width}x{height}"


def _for_json(scores):
    return {label: _finite(value) for label, value in scores.items()}


def _finite(value):
    return value if math.isfinite(value) else None


def _even(image):
    height, width = (length - length % 2 for length in image.shape[:2])
    return image[:height, :width]


def _address(image):
    """An image as an address, which holds it as WebP."""
    from PIL import Image

    file, small = io.BytesIO(), image.shape[0] * image.shape[1] <= _LOSSLESS_PIXELS
    Image.fromarray(np.ascontiguousarray(image)).save(file, "webp", lossless=small,
                                                      quality=_QUALITY, method=2 if small else 4)
    return pages.data_uri(file.getvalue(), "image/webp")
