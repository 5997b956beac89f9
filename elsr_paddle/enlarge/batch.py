"""Plan and carry out many inputs: which file each becomes, and how it went."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.suffixes import CONTAINERS, FORMATS, READABLE
from elsr_paddle.errors import InputError, one_line
from elsr_paddle.files import PIPE, VIDEO_SUFFIXES, natural_key

if TYPE_CHECKING:
    from elsr_paddle.enlarge.sizes import Upscaler

_WORKERS = 2  # pictures at a time: packing a PNG takes longer than the network, on one core


@dataclass(frozen=True)
class Job:
    """One input and its output; `video` tells how it is read and written."""

    source: Path
    output: Path
    video: bool

    @property
    def done(self):
        """Whether its output is there; standard output never is."""
        return self.output != PIPE and self.output.exists()


class Choice(NamedTuple):
    """How a job is done.

    Attributes
    ----------
    upscaler : Upscaler
    network : str, its name where it was chosen by measure; else empty
    source : str, of what kind its input is and why, where that was told from the file; else empty
    """

    upscaler: Upscaler
    network: str = ""
    source: str = ""


@dataclass
class Result:
    """What became of a job.

    Attributes
    ----------
    job : Job
    status : str, "done", "skipped" (its output was there) or "failed"
    outcome : Outcome
    seconds : float
    error : str, empty unless it failed
    """

    job: Job
    status: str
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0
    error: str = ""


def plan_jobs(inputs, output):
    """Find the pictures and videos among `inputs`, in folders too, and name their outputs.

    Parameters
    ----------
    inputs : list of Path; folders are searched through, hidden files and `output` left out. A film
        may come from standard input or go to standard output: - as its path.
    output : Path, a file for a single input that is a file; else a folder, in which names and
        subfolders are kept; .png or .mkv is added to a name whose suffix cannot be written.

    Returns
    -------
    list of Job, in natural order

    Raises
    ------
    InputError if an input is missing, nothing is found, an output would overwrite an input, two
    inputs would have the same output, or several shall go into what is named like one file.
    """
    if PIPE in (*inputs, output):
        return [_pipe_job(inputs, output)]
    for path in inputs:
        if not path.exists():
            raise InputError(f"no such file or folder: {path}")
    if len(inputs) == 1 and inputs[0].is_file() and _names_file(output):
        jobs = [_single_job(inputs[0], output)]
    else:
        _check_folder(output)
        jobs = [job for path in inputs for job in _folder_jobs(path, output)]
    if not jobs:
        raise InputError(f"no pictures or videos in {', '.join(map(str, inputs))}")
    _check_outputs(jobs)
    return jobs


def _pipe_job(inputs, output):
    """A film that comes from standard input or goes to standard output, or both."""
    if len(inputs) > 1:
        raise InputError(f"expected one input with - but got {len(inputs)}; leave the others out")
    (source,) = inputs
    if source != PIPE and not source.is_file():
        raise InputError(f"expected a file to read frames of but got {source}")
    if output != PIPE and output.suffix.lower() not in CONTAINERS:
        raise InputError(f"frames from standard input become a film: expected - or an output that "
                         f"ends in one of {' '.join(CONTAINERS)} but got {output}")
    return Job(source, output, video=True)


def _check_folder(output):
    if output.is_file():
        raise InputError(f"expected a folder for several inputs but {output} is a file")
    if _names_file(output) and output.suffix.lower() in {*FORMATS, *CONTAINERS}:
        raise InputError(f"expected a folder for several inputs but {output} names a file; "
                         f"leave {output.suffix} out")


def _names_file(output):
    return bool(output.suffix) and not output.is_dir()


def _single_job(source, output):
    suffix = output.suffix.lower()
    if suffix in CONTAINERS:
        return Job(source, output, video=True)
    if suffix not in FORMATS:
        raise InputError(f"expected an output that ends in one of {' '.join(FORMATS)}, or for "
                         f"video in one of {' '.join(CONTAINERS)}, but got {output}")
    if _is_video(source):
        raise InputError(f"{source} is a video, and cannot become {output.name}; choose one of "
                         f"{' '.join(CONTAINERS)}")
    return Job(source, output, video=False)


def _folder_jobs(path, output):
    """Jobs for a file, or for all files below a folder, written below `output`."""
    if path.is_file():
        return [_named_job(path, output / path.name)]
    return [_named_job(file, output / file.relative_to(path)) for file in _walk(path, output)]


def _named_job(source, output):
    video = _is_video(source)
    writable, other = (CONTAINERS, ".mkv") if video else (FORMATS, ".png")
    kept = output.suffix.lower() in writable
    return Job(source, output if kept else output.with_name(output.name + other), video)


def _walk(folder, output):
    """Pictures and videos below `folder`, in natural order; never what an earlier run wrote."""
    output, found = output.resolve(), []
    for parent, folders, names in os.walk(folder):
        parent = Path(parent)
        folders[:] = [name for name in folders
                      if not name.startswith(".") and (parent / name).resolve() != output]
        found += [parent / name for name in names if not name.startswith(".")]
    known = READABLE | VIDEO_SUFFIXES
    return sorted((path for path in found if path.suffix.lower() in known), key=natural_key)


def _is_video(path):
    """By the suffix; by what Pillow says where that tells nothing."""
    suffix = path.suffix.lower()
    if suffix in READABLE or suffix in VIDEO_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    from PIL import Image

    try:
        with Image.open(path):
            return False
    except Exception as error:  # a picture's decoder raises anything on broken bytes
        return isinstance(error, OSError)  # such as UnidentifiedImageError


def _check_outputs(jobs):
    sources = {_same(job.source): job.source for job in jobs}
    outputs = {}
    for job in jobs:
        key = _same(job.output)
        if key in sources:
            raise InputError(f"{job.output} is an input itself; choose another output")
        if key in outputs:
            raise InputError(f"{outputs[key]} and {job.source} would both become {job.output}; "
                             "give them another output each")
        outputs[key] = job.source


def _same(path):
    """A file's one name, whatever links and letter case lead to it."""
    return os.path.normcase(path.resolve())


def lr_pixels(jobs):
    """How many pixels there are to enlarge in all, by the headers of the pictures; None for films.

    Parameters
    ----------
    jobs : list of Job
    """
    if any(job.video for job in jobs):
        return None
    return sum(_header_pixels(job.source) for job in jobs)


def _header_pixels(path):
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.width * picture.height * getattr(picture, "n_frames", 1)
    except Exception:  # decoders raise anything on broken bytes; who reads them says what is wrong
        return 0


def run_jobs(jobs, choose, *, overwrite=False, layout=None, encoder=None, progress=None):
    """Carry out jobs; one that fails does not stop the others.

    Parameters
    ----------
    jobs : list of Job
    choose : callable, Job -> Choice
    overwrite : bool; False skips a job whose output is there.
    layout : None, "split" or "side", see `compare`
    encoder : dict, options of `transcode`
    progress : callable, `progress(job, total=frames)`, see `transcode`

    Yields
    ------
    Result of each job: of the pictures first, several at a time, then of the videos.
    """
    stop = threading.Event()
    attempt = partial(_attempt, choose=choose, overwrite=overwrite, layout=layout,
                      encoder=encoder or {}, progress=progress, stop=stop)
    with ThreadPoolExecutor(_WORKERS) as pool, ExitStack() as leaving:
        leaving.callback(stop.set)  # on Ctrl-C the pool waits for its threads, so end their work
        yield from pool.map(attempt, [job for job in jobs if not job.video])
    yield from map(attempt, [job for job in jobs if job.video])


def _attempt(job, *, choose, overwrite, layout, encoder, progress, stop):
    """Carry out one job. A bug of ours is no failed job: it ends the run with its traceback."""
    if job.done and not overwrite:
        tidy(job)
        return Result(job, "skipped")
    start = time.perf_counter()
    try:
        upscaler, network, source = choose(job)
        # Imported where they are used: a film need not wait for Pillow, nor a picture for FFmpeg.
        if job.video:
            from elsr_paddle.enlarge.video import transcode

            show = progress and partial(progress, job)
            outcome = transcode(job.source, job.output, upscaler, overwrite=overwrite,
                                layout=layout, progress=show, **encoder)
        else:
            from elsr_paddle.enlarge.pictures import upscale_picture

            outcome = upscale_picture(job.source, job.output, upscaler, layout=layout, stop=stop)
    except BrokenPipeError:  # nobody is left to work for
        raise
    except (InputError, OSError, MemoryError) as error:
        return failed(job, error)
    outcome.network, outcome.source = network, source
    return Result(job, "done", outcome, time.perf_counter() - start)


def tidy(job):
    """Delete what is left of a film whose run was killed after its output was there."""
    if job.video:
        from elsr_paddle.enlarge.parts import Parts

        Parts(job.output).tidy()


def failed(job, error):
    """The Result of a job that an exception ended."""
    return Result(job, "failed", error=one_line(error))
