"""Find clips in what a person has: folders of frames, photos, videos, the REDS data set.

A clip is the unit that a training/validation split never cuts. Its frames are decoded when asked
for. REDS (CC BY 4.0): 720p frames `000/00000000.png` under `train_sharp` and `val_sharp`, and LR
frames made by MATLAB's bicubic under `train_sharp_bicubic/X4`.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from PIL import Image

from elsr_paddle.errors import InputError
from elsr_paddle.files import VIDEO_SUFFIXES, natural_key
from elsr_paddle.imaging.io import IMAGE_SUFFIXES, list_images, read_image
from elsr_paddle.video.pyav import open_input
from elsr_paddle.video.read import main_stream, numbered_frames

VALIDATION_SHARE = 0.1  # of the clips, when nothing else is said
REDS_SCALE = 4  # of the LR frames that come with REDS
AI_STUDIO = Path("/home/aistudio")  # holds data/data<ID>/, one folder for each mounted data set


@dataclass(frozen=True)
class Frame:
    """One frame, decoded or still a file, and its LR file where one is given."""

    number: int  # in its clip, from 0
    image: np.ndarray | Path  # uint8 (H, W, 3), or the file of a picture
    given_lr: Path | None = None

    def read(self) -> np.ndarray:
        """The frame as uint8 (H, W, 3) RGB; InputError, naming the file, if it cannot be read."""
        return read_image(self.image) if isinstance(self.image, Path) else self.image

    def pixels(self) -> int:
        """How many pixels `read` will give, from the file's header; 0 if that is unreadable."""
        if isinstance(self.image, Path):
            return math.prod(picture_size(self.image) or (0,))
        return self.image.shape[0] * self.image.shape[1]


@dataclass(frozen=True)
class Clip:
    """Frames that belong together: picture files in natural order, or one video file."""

    name: str
    paths: tuple[Path, ...] = ()  # one picture a frame
    video: Path | None = None
    given_lr: Path | None = None  # folder with an x4 LR file of the same name for each picture

    def frames(
        self, every: int = 1, on_error: Callable[[InputError], object] | None = None
    ) -> Iterator[Frame]:
        """Yield every `every`-th Frame; videos are decoded here, pictures by `Frame.read`.

        Parameters
        ----------
        every : int, at least 1
        on_error : callable that takes the InputError of a video that breaks off; None raises it.
        """
        if every < 1:
            raise InputError(f"expected to take every 1st, 2nd, ... frame but got every={every}")
        if self.video is not None:
            for number, image in numbered_frames(self.video, every, on_error):
                yield Frame(number, image)
        for number in range(0, len(self.paths), every):
            yield self.frame(number)

    def frame(self, number: int) -> Frame:
        """One frame of a clip of pictures, still a file."""
        path = self.paths[number]
        return Frame(number, path, self._lr_of(path))

    def count(self, every: int = 1) -> int | None:
        """How many frames `frames` will yield; of a video, what its header says, or None."""
        total = len(self.paths) if self.video is None else _frames_in_header(self.video)
        return None if total is None else -(-total // every)

    def picture_size(self) -> tuple[int, int] | None:
        """(width, height) of the first picture whose header can be read; None if there is none."""
        return next(filter(None, map(picture_size, self.paths)), None)

    def _lr_of(self, path):
        lr = self.given_lr / path.name if self.given_lr else None
        return lr if lr is not None and lr.is_file() else None


def find_clips(paths: Iterable[str | Path], photos: bool = False) -> list[Clip]:
    """The clips under any number of folders, pictures and video files.

    A folder whose pictures share one size is taken for a clip; where they differ, and for a picture
    named by itself, each is a photo: a clip of one frame. Folders are searched all the way down.

    Parameters
    ----------
    paths : iterable of str or Path
    photos : bool, every picture is a photo, also where all in a folder share one size.

    Returns
    -------
    list of Clip, in the order of `paths` and in natural order within each; names are unique.

    Raises
    ------
    InputError if a path is missing, of no known kind, or holds neither pictures nor videos.
    """
    return _with_unique_names([clip for path in paths for clip in _clips_at(Path(path), photos)])


def find_reds(
    root: str | Path = "auto", home: str | Path = AI_STUDIO
) -> tuple[list[Clip], list[Clip]]:
    """The clips of a REDS folder: both `root/train/train_sharp` and `root/train_sharp` are known.

    Parameters
    ----------
    root : str or Path; "auto" looks in `data` here, beside this folder and in `home`, and two
        levels below each: AI Studio mounts a data set as `data/data<ID>` in the home folder.
    home : str or Path

    Returns
    -------
    (train, val) : lists of Clip; val is empty when REDS' own validation clips are not there. Clips
        know their given x4 LR frames where `train_sharp_bicubic/X4` is there.

    Raises
    ------
    InputError if there is no REDS layout; it names the archives that have to be unpacked.
    """
    places = roots = [Path(root)]
    if str(root) == "auto":
        places = [Path("data"), Path("..", "data"), Path(home) / "data"]
        roots = [folder for place in places for folder in _and_two_levels_below(place)]
    for candidate in roots:
        train, val = _reds_half(candidate, "train"), _reds_half(candidate, "val")
        if train:
            return train, val
    raise InputError(_no_reds(places, roots))


def split_clips(
    clips: Sequence[Clip], validation: int | Sequence[str] | None = None
) -> tuple[list[Clip], list[Clip]]:
    """Split into training and validation by whole clips.

    Parameters
    ----------
    clips : list of Clip
    validation : None for a tenth of the clips, at least one of two or more; a number of clips,
        taken evenly spread; or a list of names, whole ("set/007") or their last part ("007").

    Returns
    -------
    (train, val) : lists of Clip, each in the given order

    Raises
    ------
    InputError if a name is unknown or no clip is left to train on.
    """
    if validation is None:
        validation = max(1, round(VALIDATION_SHARE * len(clips))) if len(clips) > 1 else 0
    choose = _spread if isinstance(validation, int) else _named
    chosen = choose(clips, validation)
    train = [clip for clip in clips if clip.name not in chosen]
    if not train:
        raise InputError(
            f"expected at least one clip to train on but all {len(clips)} went to validation; "
            "choose fewer"
        )
    return train, [clip for clip in clips if clip.name in chosen]


def _spread(clips, count):
    if not 0 <= count < len(clips):
        raise InputError(
            f"expected 0..{len(clips) - 1} validation clips of {len(clips)} but got {count}; "
            "a folder of pictures of one size is one clip: --photos makes each picture a clip"
        )
    return {clips[(2 * i + 1) * len(clips) // (2 * count)].name for i in range(count)}


def _named(clips, names):
    chosen = set()
    for name in names:
        found = {clip.name for clip in clips if name in (clip.name, clip.name.split("/")[-1])}
        if not found:
            raise InputError(
                f"expected the name of a clip but got {name!r}; there are "
                f"{', '.join(clip.name for clip in clips[:5])}{', ...' if len(clips) > 5 else ''}"
            )
        chosen |= found
    return chosen


def _clips_at(path, photos):
    suffix = path.suffix.lower()
    if path.is_dir():
        clips = list(_clips_in_folder(path, path.resolve().name, photos))
        if not clips:
            raise InputError(f"expected pictures or videos in {path} but found none")
        return clips
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if suffix in VIDEO_SUFFIXES:
        return [Clip(path.stem, video=path)]
    if suffix in IMAGE_SUFFIXES:
        return [Clip(path.stem, (path,))]
    raise InputError(f"expected a folder, a picture or a video but got {path}")


def _clips_in_folder(folder, name, photos):
    pictures = list_images(folder)
    if photos or _differ_in_size(pictures):
        yield from (Clip(f"{name}/{picture.stem}", (picture,)) for picture in pictures)
    elif pictures:
        yield Clip(name, tuple(pictures))
    for path in sorted(folder.iterdir(), key=natural_key):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            # A link to a folder above would give its clips again, to training and validation.
            if not folder.resolve().is_relative_to(path.resolve()):
                yield from _clips_in_folder(path, f"{name}/{path.name}", photos)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            yield Clip(f"{name}/{path.stem}", video=path)


def _differ_in_size(pictures):
    """Whether pictures are photos rather than frames; stops at the first that differs."""
    sizes = (size for size in map(picture_size, pictures) if size)
    first = next(sizes, None)
    return any(size != first for size in sizes)


def picture_size(picture: Path) -> tuple[int, int] | None:
    """(width, height) in a picture's header, or None: whoever reads the picture says what is wrong.

    As stored: EXIF may turn the picture. The frames of a clip are all turned the same way.
    """
    try:
        with Image.open(picture) as header:
            return header.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _with_unique_names(clips):
    """Number the clips that share a name: "000", "000 (2)"; "a.png" beside "a.jpg" is such."""
    seen = Counter()
    unique = []
    for clip in clips:
        seen[clip.name] += 1
        number = seen[clip.name]
        unique.append(clip if number == 1 else replace(clip, name=f"{clip.name} ({number})"))
    return unique


def _and_two_levels_below(place):
    folders = (path for pattern in ("*", "*/*") for path in place.glob(pattern) if path.is_dir())
    return [place, *sorted(folders, key=natural_key)]


def _no_reds(places, roots):
    """Why there is no REDS: its archives are still packed, or nothing is there."""
    for root in roots:
        packed = [path.name for path in sorted(root.glob("*.zip")) if _packs_reds(path)]
        if packed:
            return f"expected REDS unpacked but found {', '.join(packed)} in {root}; unpack it"
    return (
        f"expected REDS in {', '.join(map(str, places))} with train/train_sharp/000/00000000.png "
        "or train_sharp/000/00000000.png but found none; give its folder"
    )


def _packs_reds(archive):
    """Whether the name of an archive or of a file in it is one of REDS."""
    try:
        with zipfile.ZipFile(archive) as packed:
            names = packed.namelist()
    except (OSError, zipfile.BadZipFile):
        names = []  # named all the same: unpacking tells what is wrong
    return any("train_sharp" in name for name in (archive.name, *names))


def _reds_half(root, part):
    """Clips of "train" or "val" in either layout; none if neither is there."""
    for base in (root / part, root):
        sharp, given = base / f"{part}_sharp", base / f"{part}_sharp_bicubic" / f"X{REDS_SCALE}"
        if sharp.is_dir():
            folders = sorted((path for path in sharp.iterdir() if path.is_dir()), key=natural_key)
            clips = (_reds_clip(folder, given / folder.name) for folder in folders)
            return [clip for clip in clips if clip.paths]
    return []


def _reds_clip(folder, given):
    return Clip(folder.name, tuple(list_images(folder)), given_lr=given if given.is_dir() else None)


def _frames_in_header(video):
    try:
        with open_input(video) as container:
            return main_stream(container).frames or None
    except (av.FFmpegError, InputError):
        return None  # whoever decodes the video says what is wrong with it
