"""Build the page of `elsr app`: what is on it, and the work behind its button."""

from __future__ import annotations

import functools
import html
import queue
import re
import tempfile
import threading
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import gradio as gr
from PIL import Image
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from elsr_paddle.commands.enlarge_networks import weights_of
from elsr_paddle.engines.choose import load_engine
from elsr_paddle.enlarge.batch import plan_jobs
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.pictures import upscale_picture
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.enlarge.source import source_of
from elsr_paddle.enlarge.suffixes import FORMATS
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError, one_line
from elsr_paddle.files import VIDEO_SUFFIXES
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks import zoo
from elsr_paddle.video.pyav import open_input
from elsr_paddle.video.read import read_frames

# What is decoded of strangers. Others run programs (EPS) or open further files (playlists).
_PICTURES = {"AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF",
             "WEBP"}
_FILMS = ("mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,yuv4mpegpipe,h264,hevc")
SIZES = {"2 times": {"scale": 2}, "3 times": {"scale": 3}, "4 times": {"scale": 4},
         "as fits 1920x1080": {"fit": (1920, 1080)}, "as fits 3840x2160": {"fit": (3840, 2160)}}
# The networks that have a form for each source; others have one for all.
_QUALITIES = {model: quality for quality, model in zoo.LADDER.items()}
_WAITING = 20  # visitors in the queue
_SHOWN = 2560  # pixels of the longer side of the two pictures under the slider
_INTO = 100  # the frame of a film that is compared: films begin black
_PATIENCE = 0.2  # seconds between two looks at how far the work is
_CSS = "footer {display: none !important} #page {max-width: 60rem; margin: 0 auto}"
_INTRO = """# Enlarge a picture or a film
Small networks that run on this machine. Your file is removed from it after {hours}.
"""


@dataclass(frozen=True)
class Enlarged:
    """What became of an upload: the file to download, and the two pictures to compare."""

    path: Path
    film: bool
    outcome: Outcome
    before: Path
    after: Path


class Choices(NamedTuple):
    """What a visitor chooses beside the upload."""

    model: str  # a network that ships
    size: str  # a key of `SIZES`
    source: str = "auto"  # told from the upload; or a key of `zoo.SOURCES`


class Studio:
    """Enlarges what visitors upload, one at a time.

    Parameters
    ----------
    uploads : Path, the folder of gradio's files: uploads, and results that are shown
    work : Path, an existing folder beside it, where results are made; gradio copies them
    max_pixels : int, largest picture that is made on the way to an output
    """

    def __init__(self, uploads, work, max_pixels):
        self.uploads, self.work, self._max_pixels = uploads.resolve(), work, max_pixels
        self._engine = functools.lru_cache(maxsize=8)(load_engine)

    def enlarge(self, source, work, choices, show, stop):
        """Enlarge an upload into a folder.

        Parameters
        ----------
        source : str or Path, an upload
        work : Path, for what is written
        choices : Choices
        show : callable, (frames done, all frames or None) of a film
        stop : threading.Event that ends the work with CancelledError

        Returns
        -------
        Enlarged

        Raises
        ------
        InputError if it is no upload, or cannot be read or enlarged so far; OSError.
        """
        source = self._checked(Path(source))
        (job,) = plan_jobs([source], work)
        kind, told = _kind_of(job, choices)
        upscaler = self._upscaler(kind, choices)
        if job.video:
            output = work / f"{source.stem}_large{_film_suffix(source)}"
            progress = functools.partial(_Progress, show, stop)
            outcome = transcode(source, output, upscaler, progress=progress)
        else:
            output = work / f"{source.stem}_large{job.output.suffix}"
            outcome = upscale_picture(source, output, upscaler, stop=stop)
        outcome.source = told
        before, after = _compared(source, output, job.video, work)
        return Enlarged(output, job.video, outcome, before, after)

    def _upscaler(self, kind, choices):
        quality = _QUALITIES.get(choices.model)
        files = (zoo.of_quality(zoo.available()[0], quality, kind) if quality
                 else weights_of(choices.model))
        return Upscaler(lambda scale: self._engine(files[scale]), files,
                        Target(**SIZES[choices.size]), self._max_pixels)

    def _checked(self, source):
        """The upload, if it is one, and of a format that opens no other file."""
        real = source.resolve()
        if self.uploads not in real.parents or not real.is_file():
            raise InputError("expected an uploaded file; upload it once more")
        if real.suffix.lower() in VIDEO_SUFFIXES:
            _check_film(real)
        else:
            _check_picture(real)
        return real


def _kind_of(job, choices):
    """The kind of source of an upload, and in words what it was taken for if nobody said it."""
    if choices.source != "auto" or choices.model not in _QUALITIES:
        return choices.source, ""
    found = source_of(job.source, job.video)
    return found.kind, str(found)


def _check_film(path):
    try:
        with open_input(path, format_whitelist=_FILMS):
            return
    except av.FFmpegError as error:
        raise InputError(f"{path.name} is no film that can be read here: it is damaged, or not "
                         f"MP4, MKV, WebM, AVI, MPEG or the like ({error.strerror})") from error


def _check_picture(path):
    try:
        with Image.open(path) as picture:
            known = picture.format in _PICTURES
    except Exception as error:  # on broken bytes Pillow's decoders raise anything
        raise InputError(f"{path.name} is no picture or film that can be read") from error
    if not known:
        raise InputError(f"{path.name} is {picture.format}, which is not taken here; upload PNG, "
                         "JPEG, WebP, AVIF, TIFF, GIF or BMP")


def _film_suffix(source):
    """What browsers play: WebM stays, all others become MP4."""
    return ".webm" if source.suffix.lower() == ".webm" else ".mp4"


class _Progress:
    """tqdm's part that `transcode` uses; ends the work once `stop` is set."""

    def __init__(self, show, stop, total=None):
        self._show, self._stop, self._total, self._done = show, stop, total, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def update(self, count):
        """Count frames."""
        if self._stop.is_set():
            raise CancelledError
        self._done += count
        self._show(self._done, self._total)


def _compared(source, output, film, work):
    """Two pictures of one size: the source by bicubic and the result, small enough to show."""
    theirs, ours = (_still(path, film) for path in (source, output))
    factor = min(1, _SHOWN / max(ours.shape[:2]))
    size = tuple(max(1, round(length * factor)) for length in ours.shape[:2])
    paths = work / "before.jpg", work / "after.jpg"
    for path, image in zip(paths, (theirs, ours)):
        shown = image if image.shape[:2] == size else imresize(image, size=size)
        Image.fromarray(shown).save(path, quality=95, subsampling=0)
    return paths


def _still(path, film):
    if not film:
        return read_image(path)
    return deque(islice(read_frames(path), _INTO), maxlen=1).pop()


def _uploads_alone(component):
    """Keep a component of files from fetching addresses: gradio would, for a made-up request."""
    move = component.async_move_resource_to_block_cache

    async def checked(path):
        if not Path(str(path)).is_file():
            raise gr.Error("expected an uploaded file", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = checked
    return component


class _FilesOfVisitors:
    """Let nothing but uploads and results out: no other file, no link to one, no address."""

    def __init__(self, app, uploads):
        self._app, self._uploads = app, uploads

    async def __call__(self, scope, receive, send):
        refused = scope["type"] == "http" and not self._allows(scope["path"])
        await (PlainTextResponse("not found", 404) if refused else self._app)(scope, receive, send)

    def _allows(self, path):
        match = re.search(r"/(file|proxy)([=/].*)$", path, re.DOTALL)
        if not match:
            return True
        try:
            return match[1] == "file" and self._uploads in Path(match[2][1:]).resolve().parents
        except (OSError, ValueError):  # no path that a file system knows
            return False


def launch_options(studio: Studio, limit_mb: int) -> dict:
    """What `launch` is told: no way out of this machine, and none to its other files."""
    font = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    return {"prevent_thread_lock": True, "quiet": True, "share": False, "ssr_mode": False,
            "allowed_paths": [], "max_file_size": limit_mb * 2**20, "footer_links": [],
            "theme": gr.themes.Base(font=font, font_mono=mono), "css": _CSS, "inbrowser": False,
            "app_kwargs": {"middleware": [Middleware(_FilesOfVisitors, uploads=studio.uploads)]},
            "enable_monitoring": False}


def build_page(studio: Studio, limit_mb: int, keep_seconds: int) -> gr.Blocks:
    """The page; `launch` it with `launch_options`."""
    visits = _Visits(studio)
    models = sorted({entry.name for entry in zoo.available()[0]
                     if entry.degradation == zoo.SOURCES["clean"]})
    hours = "an hour" if keep_seconds == 3600 else f"{keep_seconds} seconds"
    with gr.Blocks(title="ELSR", analytics_enabled=False,
                   delete_cache=(max(1, keep_seconds // 6), keep_seconds)) as page, \
            gr.Column(elem_id="page"):
        gr.Markdown(_INTRO.format(hours=hours))
        upload = _uploads_alone(gr.File(
            label=f"Picture or film, up to {limit_mb} MB", height=140,
            file_types=[*FORMATS, *sorted(VIDEO_SUFFIXES)], elem_id="upload"))
        with gr.Row():
            model = gr.Dropdown(models, value=zoo.DEFAULT, label="Network", elem_id="model")
            size = gr.Dropdown(list(SIZES), value="2 times", label="Size", elem_id="size")
            source = gr.Dropdown(["auto", *zoo.SOURCES], label="Source", elem_id="source")
        with gr.Row():
            start = gr.Button("Enlarge", variant="primary", elem_id="start")
            end = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False)
        told = gr.Markdown(elem_id="told", min_height=60)
        slider = gr.ImageSlider(label="Bicubic | network", visible=False, elem_id="slider",
                                interactive=False, max_height=600, buttons=["fullscreen"])
        film = gr.Video(label="Enlarged film", visible=False, elem_id="film", interactive=False,
                        buttons=[])
        download = gr.DownloadButton("Download", visible=False, elem_id="download",
                                     variant="primary")
        shown = [told, slider, film, download, start, end]
        working = start.click(visits.begin, None, shown, queue=False, api_visibility="private",
                              show_progress="hidden")
        working.then(visits.work, [upload, model, size, source], shown, concurrency_limit=1,
                     show_progress_on=[told], api_visibility="private")
        end.click(visits.stop, None, None, queue=False, api_visibility="private")
        page.unload(visits.leave)
    return page.queue(max_size=_WAITING)


class _Visits:
    """The events of the page: one run for each visitor at most."""

    def __init__(self, studio):
        self._studio, self._stops = studio, {}

    def begin(self, request: gr.Request):
        """Clear the page and arm the Stop button."""
        self._stops[request.session_hash] = threading.Event()
        hidden = gr.update(value=None, visible=False)
        return ("Waiting for its turn ...", hidden, hidden, hidden, gr.update(interactive=False),
                gr.update(interactive=True))

    def stop(self, request: gr.Request):
        """End the visitor's run."""
        if request.session_hash in self._stops:
            self._stops[request.session_hash].set()

    def leave(self, request: gr.Request):
        """End the run of a visitor who has closed the page."""
        self.stop(request)
        self._stops.pop(request.session_hash, None)

    def work(self, upload, model, size, source, request: gr.Request,
             progress=gr.Progress()):  # noqa: B008
        """Enlarge; yields what the page shows at the end.

        Raises
        ------
        gr.Error of one line for bad input; a bug of ours keeps its traceback.
        """
        stop = self._stops.setdefault(request.session_hash, threading.Event())
        if upload is None:
            yield _said("Choose a picture or a film first.")
            return
        with tempfile.TemporaryDirectory(dir=self._studio.work) as work:
            run = functools.partial(self._studio.enlarge, upload, Path(work),
                                    Choices(model, size, source))
            try:
                result = _watched(run, progress, stop)
            except CancelledError:
                yield _said("Stopped.")
            except Exception as error:  # whatever it is, the button is armed again
                yield _said("")
                if isinstance(error, (InputError, OSError, MemoryError)):
                    raise _message(error) from error
                raise
            else:
                yield _shown(result)  # gradio copies the files before it asks for more


def _said(text):
    """The page with a line of text, and its button armed again."""
    return text, *[gr.skip()] * 3, gr.update(interactive=True), gr.update(interactive=False)


def _message(error):
    return gr.Error(html.escape(one_line(error)), print_exception=False, duration=None)


def _watched(run, progress, stop):
    """Run in a thread of its own, and show how far it is from this one, which gradio knows."""
    reports = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, lambda done, total: reports.put((done, total)), stop)
        try:
            progress(None, desc="Enlarging")
            while not future.done():
                _show_last(reports, progress)
                threading.Event().wait(_PATIENCE)
            return future.result()
        except BaseException:
            stop.set()
            raise


def _show_last(reports, progress):
    report = None
    while not reports.empty():
        report = reports.get()
    if report:
        progress(report, desc="Enlarging", unit="frames")


def _shown(result):
    outcome = result.outcome
    lines = [f"**{result.path.name}**: {outcome.width} x {outcome.height} pixels"]
    if result.film:
        lines[0] += f", {outcome.frames} frames"
    if outcome.source:
        lines.append(f"- source {html.escape(outcome.source)}")
    lines += [f"- {html.escape(warning)}" for warning in outcome.warnings]
    if outcome.missing:
        lines.append(f"- INCOMPLETE: {outcome.missing} missing")
    pictures = str(result.before), str(result.after)
    return ("\n".join(lines), gr.update(value=pictures, visible=True),
            gr.update(value=str(result.path) if result.film else None, visible=result.film),
            gr.update(value=str(result.path), visible=True), *_said("")[4:])
