"""The command `elsr`, and `upscale.py`: any picture, folder or video, enlarged.

A script, though it lies in the package, where an installed command has to: it parses arguments
and prints. People read on stderr; stdout carries the report of --json alone.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from elsr_paddle.commands import shared as cli
from elsr_paddle.errors import InputError

SCALES = (2, 3, 4)  # that networks are trained for
MAX_PIXELS = 2**29  # of an output: a photo of 33 megapixels x4, 1.6 GB as RGB


def build_parser():
    parser = argparse.ArgumentParser(
        prog="elsr", description="Enlarge pictures, folders of them, animations and videos.",
        epilog="Exit status: 0 when all went well, 1 when some inputs failed or came out "
               "incomplete, 2 when none worked.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT",
                        help="picture, video or folder")
    parser.add_argument("-o", "--output", type=Path, required=True,
                        help="file for one input, folder for several; files that are there already "
                             "are skipped, so the same command resumes a batch")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=_scale, help="2, 3, 4, or between, as 1.5; default 4")
    size.add_argument("--size", type=_size, metavar="WxH", help="exactly this (video: even)")
    size.add_argument("--fit", type=_size, metavar="WxH", help="as large as fits this box")
    parser.add_argument("--model", default="elsr", help="elsr (colour), elsr-y (luma, for video); "
                        "elsr-aliased, elsr-y-aliased: for pictures made small without "
                        "antialiasing, x4; default elsr")
    parser.add_argument("--weights", type=Path, help="weights of your own (.safetensors)")
    parser.add_argument("--engine", default="auto", help="auto, halide, openvino, paddle, ...")
    parser.add_argument("--threads", type=_positive, help="default: all cores")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--compare", choices=("split", "side"), help="put bicubic at the left")
    parser.add_argument("--codec", help="FFmpeg's encoder; default libx264, libvpx-vp9 for .webm")
    parser.add_argument("--crf", type=int, default=20, help="quality of video, lower is better; 20")
    parser.add_argument("--preset", help="of the encoder; default veryfast")
    parser.add_argument("--max-pixels", type=_positive, default=MAX_PIXELS,
                        help=f"refuse outputs above this; default {MAX_PIXELS:,}")
    parser.add_argument("--json", action="store_true", help="print a report for scripts")
    return parser


def _scale(text):
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"expected a factor such as 4 or 1.5 but got {text}")
    return value


def _size(text):
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.lower())
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"expected a size such as 1920x1080 but got {text}")
    return int(match[1]), int(match[2])


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 but got {text}")
    return value


def main(argv=None):
    args = build_parser().parse_args(argv)
    from tqdm import tqdm

    from elsr_paddle.enlarge.batch import plan_jobs, run_jobs

    jobs = plan_jobs(args.inputs, args.output)
    if len(jobs) == 1 and jobs[0].output == args.output and not args.overwrite \
            and args.output.exists():
        raise InputError(f"{args.output} exists; give --overwrite to replace it")
    networks = Networks(args)
    encoder = {"codec": args.codec, "crf": args.crf, "preset": args.preset}
    results = []
    with _sigterm_as_exit(), _our_limit_alone():
        found = run_jobs(jobs, networks.upscaler(), overwrite=args.overwrite, layout=args.compare,
                         encoder=encoder, progress=_bar)
        for result in tqdm(found, total=len(jobs), unit=" files", leave=False,
                           disable=True if len(jobs) == 1 else None):
            results.append(result)
            _tell(result)
    if args.json:
        print(json.dumps(_report(results, networks.used), indent=2))
    return _status(results)


class Networks:
    """The networks that the arguments name, and those that were used.

    Attributes
    ----------
    used : dict of Path, weights -> engine
    """

    def __init__(self, args):
        from elsr_paddle.engines import load_engine

        self._args = args
        self._load_engine = partial(load_engine, engine=args.engine, threads=args.threads,
                                    max_pixels=args.max_pixels)
        self.used = {}

    def upscaler(self):
        """An Upscaler for the size that is wanted."""
        from elsr_paddle.enlarge.sizes import Target, Upscaler

        args = self._args
        files = {self._load(args.weights).scale: args.weights} if args.weights else \
            _weights_of(args.model)
        default = None if args.size or args.fit else max(files)
        target = Target(args.scale or default, args.size, args.fit)
        return Upscaler(lambda scale: self._engine(files[scale]), files, target, args.max_pixels)

    def _engine(self, path):
        loaded = self.used.get(path)
        return loaded or self._load(path)

    def _load(self, path):
        engine = self.used[path] = self._load_engine(path)
        reason = f" ({engine.reason})" if engine.reason else ""
        _say(f"engine {engine.name}{reason}, {engine.model_name} x{engine.scale} of {path}")
        return engine


def _weights_of(model):
    """The shipped network for each scale; where none is shipped, one trained here.

    Returns
    -------
    dict of int, scale -> Path

    Raises
    ------
    InputError if there is none for any scale.
    """
    from elsr_paddle.engines import find_weights

    files = {}
    for find in (find_weights, cli.default_weights):
        for scale in SCALES:
            with suppress(InputError):
                files.setdefault(scale, find(model, scale))
    return files or {SCALES[-1]: cli.default_weights(model, SCALES[-1])}


@contextmanager
def _sigterm_as_exit():
    """Let SIGTERM end the run as Ctrl-C does: through every `finally`, so no half file stays."""

    def leave(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up takes a moment
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _our_limit_alone():
    """Suspend Pillow's limit on the pixels of an input: --max-pixels counts those of the output."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _bar(job, total):
    from tqdm import tqdm

    return tqdm(total=total, desc=job.source.name, unit=" frames", leave=False, disable=None)


def _say(text):
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def _tell(result):
    source, outcome = result.job.source, result.outcome
    for warning in outcome.warnings:
        _say(f"warning: {source}: {warning}")
    if result.status == "failed":
        _say(f"error: {source}: {result.error}")
    elif result.status == "skipped":
        _say(f"{source}: {result.job.output} exists, skipped")
    else:
        frames = f", {outcome.frames} frames" if outcome.frames > 1 else ""
        missing = f"; INCOMPLETE: {outcome.missing} missing" if outcome.missing else ""
        _say(f"{source} -> {result.job.output} {outcome.width}x{outcome.height}{frames}, "
             f"{result.seconds:.1f} s{missing}")


def _report(results, used):
    items = [{"input": str(result.job.source), "output": str(result.job.output),
              "status": result.status, "error": result.error,
              "seconds": round(result.seconds, 3), **vars(result.outcome)} for result in results]
    counts = {status: sum(result.status == status for result in results)
              for status in ("done", "skipped", "failed")}
    engines = [{"name": engine.name, "model": engine.model_name, "scale": engine.scale,
                "weights": str(path)} for path, engine in used.items()]
    return {"engines": engines, **counts, "items": items}


def _status(results):
    failed = sum(result.status == "failed" for result in results)
    incomplete = any(result.outcome.missing for result in results)
    if not failed and not incomplete:
        return 0
    return 2 if failed == len(results) else 1


def entry():
    """What the installed command `elsr` calls."""
    cli.run(main)
