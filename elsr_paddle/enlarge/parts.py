"""Keep the segments of a film that are finished on the disk, so that a killed run can go on.

`OUT.parts/` beside an output holds a manifest, which tells what run the segments belong to, and for
each segment a file of packets in NUT and a record. A record is written last: a segment without one
does not exist. All of them appear whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av

from elsr_paddle import __version__
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write

FORMAT = "nut"  # of FFmpeg's containers the one that keeps any codec's packets as they are
_MANIFEST, _END = "manifest.json", "end.json"
_LAYOUT = 1  # of the folder: raised when older versions' cannot be read any more
_BLOCKS, _BLOCK = 64, 2**16  # pieces of an input that its fingerprint reads, and their bytes
_CHUNK = 2**20  # bytes that are read at once


@dataclass(frozen=True)
class Record:
    """One segment, in the order of decoding.

    Attributes
    ----------
    sha256 : str, of its file
    time_base : str, seconds of a tick, such as "1/12800"
    pts, dts, durations : list of int, ticks, one of each a packet
    """

    sha256: str
    time_base: str
    pts: list[int]
    dts: list[int]
    durations: list[int]

    @property
    def frames(self) -> int:
        """How many frames it holds."""
        return len(self.pts)

    @property
    def delay(self) -> int:
        """Packets that a decoder takes before the first frame comes out: B-frames wait for them."""
        return sum(dts < min(self.pts) for dts in self.dts)


@dataclass(frozen=True)
class End:
    """What a run knows once all frames are enlarged, and only joining is left.

    Attributes
    ----------
    segments : list of int, their numbers
    decoded : dict, fields of `Decoded`
    warnings : list of str
    """

    segments: list[int]
    decoded: dict
    warnings: list[str]


def identity(source, **settings):
    """What decides on the content of the segments, as it stands in a manifest.

    Parameters
    ----------
    source : Path of the input
    **settings : what else does, as JSON holds it
    """
    libraries = {name: ".".join(map(str, version))
                 for name, version in av.library_versions.items()
                 if name in ("libavcodec", "libavformat", "libavfilter", "libswscale")}
    versions = {"elsr-paddle": __version__, "av": av.__version__, **libraries}
    return {"layout": _LAYOUT, "input": fingerprint(source), "versions": versions, **settings}


def fingerprint(path):
    """Length of a file, and SHA-256 over blocks spread evenly from its first byte to its last.

    4 MiB at most are read, since an input may have a hundred gigabytes.
    """
    length = Path(path).stat().st_size
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for number in range(_BLOCKS):
            file.seek(max(0, length - _BLOCK) * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return {"bytes": length, "sha256": digest.hexdigest()}


def checksum(path):
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Parts:
    """The finished segments of one output.

    Parameters
    ----------
    output : str or Path, the film that they become
    """

    def __init__(self, output):
        output = Path(output)
        self.output, self.folder = output, output.with_name(f"{output.name}.parts")

    def open(self, wanted, overwrite):
        """Take the folder for a run.

        Parameters
        ----------
        wanted : dict, see `identity`
        overwrite : bool, whether segments of another run may go

        Raises
        ------
        InputError if it holds those of another run and they may not.
        """
        found = self._read(_MANIFEST)
        wanted = json.loads(json.dumps(wanted))  # tuples become lists, as those of the file did
        if found == wanted:
            return
        if found is not None and self._records() and not overwrite:
            differing = ", ".join(sorted(name for name in {*found, *wanted}
                                         if found.get(name) != wanted.get(name)))
            raise InputError(f"{self.folder} holds segments of a run that differs in {differing}; "
                             "repeat that command to go on with it, or give --overwrite to begin "
                             "anew")
        self.remove()
        self._write(_MANIFEST, wanted)

    def whole(self):
        """The segments whose files are as they were written.

        Returns
        -------
        dict of int, number -> Record
        """
        found = {}
        for path in self._records():
            with suppress(OSError, ValueError, TypeError):  # damaged: it is made anew
                record = Record(**json.loads(path.read_text(encoding="utf-8")))
                if checksum(path.with_suffix(f".{FORMAT}")) == record.sha256:
                    found[int(path.stem)] = record
        return found

    def path(self, number):
        """Path of a segment's packets."""
        return self.folder / f"{number:06}.{FORMAT}"

    def put(self, number, content, record):
        """Write a segment that was made elsewhere.

        Parameters
        ----------
        number : int
        content : bytes of its file
        record : Record
        """
        with atomic_write(self.path(number)) as temporary:
            temporary.write_bytes(content)
        self.keep(number, record)

    def keep(self, number, record):
        """Note that a segment's file is finished."""
        self._write(f"{number:06}.json", dataclasses.asdict(record))

    def forget(self, number):
        """Let a segment be made anew."""
        self.path(number).with_suffix(".json").unlink(missing_ok=True)

    def end(self):
        """The End that was noted, or None."""
        found = self._read(_END)
        return found and End(**found)

    def note_end(self, end):
        """Note that all segments are finished."""
        self._write(_END, dataclasses.asdict(end))

    def remove(self):
        """Delete the folder; its manifest first, so that no rest is taken for a run."""
        (self.folder / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def leave(self):
        """Delete the folder if no segment is finished: nothing in it is worth going on with."""
        if not self._records():
            self.remove()

    def _records(self):
        return sorted(self.folder.glob("[0-9]*.json"))

    def tidy(self):
        """Delete what a run left that was killed after its output was there."""
        with suppress(FileNotFoundError):
            ended = (self.folder / _END).stat().st_mtime_ns
            if ended <= self.output.stat().st_mtime_ns:
                self.remove()

    def _read(self, name):
        """A JSON object of the folder; None without one, or where it is damaged."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, name, content):
        with atomic_write(self.folder / name) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")


def decoding_times(records):
    """Times of decoding of all packets of a film, as one encoder for all of them gives.

    Each is the time of the frame that comes out when the packet goes in. Those before the first
    frame count back from it.

    Parameters
    ----------
    records : list of Record, in order

    Returns
    -------
    list of int, ticks
    """
    shown = sorted(pts for record in records for pts in record.pts)
    delay = min(max(record.delay for record in records), len(shown) - 1)
    early = [pts - (shown[delay] - shown[0]) for pts in shown[:delay]]
    return early + shown[:len(shown) - delay]
