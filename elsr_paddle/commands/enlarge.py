"""Enlarge pictures, folders of them, animations and films: what `elsr INPUT... -o OUTPUT` does.

People read on standard error; standard output carries what --json and --progress json print.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.shared import OUT, PROGRESS, run, warn
from elsr_paddle.errors import InputError

MAX_PIXELS = 2**29  # of an output: a photo of 33 megapixels x4, 1.6 GB as RGB


def build_parser() -> argparse.ArgumentParser:
    """The flags of `elsr`."""
    from elsr_paddle.commands.main import COMMANDS

    parser = Parser(
        prog="elsr", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Enlarge pictures, folders of them, animations and films.",
        epilog="Other commands (each has --help):\n"
               + "\n".join(f"  elsr {name:10} {text}" for name, text in COMMANDS.items())
               + "\n\nExit status: 0 when all went well, 1 when some inputs failed or parts of a "
                 "film\nare missing, 2 when none worked.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT",
                        help="picture, film or folder")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUTPUT",
                        help="file for one input, folder for several; files that are there already "
                             "are skipped, so the same command resumes a batch")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--compare", choices=("split", "side"), help="put bicubic at the left")
    _add_size(parser.add_argument_group("size"))
    _add_network(parser.add_argument_group("network"))
    _add_film(parser.add_argument_group("films"))
    _add_reports(parser.add_argument_group("reports"))
    return parser


def _add_size(group):
    one = group.add_mutually_exclusive_group()
    one.add_argument("--scale", type=_scale, help="2, 3, 4, or between, as 1.5 (default: 4)")
    one.add_argument("--size", type=_size, metavar="WxH", help="exactly this (films: even)")
    one.add_argument("--fit", type=_size, metavar="WxH", help="as large as fits this box")
    group.add_argument("--max-pixels", type=_positive, default=MAX_PIXELS, metavar="N",
                       help=f"refuse outputs above this (default: {MAX_PIXELS:,})")


def _add_network(group):
    group.add_argument("--model", help="a network that `elsr models` lists (default: elsr-y, which "
                       "enlarges luma; elsr is the paper's)")
    group.add_argument("--weights", type=Path, metavar="FILE", help="weights of your own")
    group.add_argument("--engine", default="auto", help="auto (the fastest that works), halide, "
                       "openvino, paddle, onnxruntime, numpy or eager")
    group.add_argument("--device", help="cpu, gpu or gpu:N (default: where it is faster)")
    group.add_argument("--threads", type=_positive, metavar="N", help="default: all cores")


def _add_film(group):
    group.add_argument("--codec", help="FFmpeg's encoder (default: libx264, libvpx-vp9 for .webm)")
    group.add_argument("--crf", type=int, help="quality, lower is better and larger (default: 20)")
    group.add_argument("--preset", help="of the encoder (default: veryfast)")


def _add_reports(group):
    group.add_argument("--progress", choices=PROGRESS, default="auto", help="auto: a bar, or lines "
                       "where there is no terminal; json: a JSON object a line on standard output")
    group.add_argument("--json", action="store_true", help="print a report for scripts at the end")


def _scale(text):
    match = re.fullmatch(r"x?(\d+(?:\.\d+)?)x?", text.lower())
    if not match or not 0 < float(match[1]) < 100:
        raise argparse.ArgumentTypeError(f"expected a factor such as 4 or 1.5 but got {text!r}")
    return float(match[1])


def _size(text):
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.lower())
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"expected a size such as 1920x1080 but got {text!r}")
    return int(match[1]), int(match[2])


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 but got {text!r}")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Enlarge what the arguments name; the exit status."""
    args = build_parser().parse_args(argv)
    from elsr_paddle.enlarge.batch import plan_jobs

    jobs = plan_jobs(args.inputs, args.output)
    if len(jobs) == 1 and jobs[0].output == args.output and not args.overwrite \
            and args.output.exists():
        raise InputError(f"{args.output} exists; give --overwrite to replace it")
    _refuse_film_options(args, jobs)
    networks = Networks(args, jobs)
    with _sigterm_as_exit(), _our_limit_alone(jobs):
        results = list(_carry_out(jobs, networks, args))
    if args.json:
        indent = None if args.progress == "json" else 2
        print(json.dumps(_report(results, networks.used), indent=indent))
    return _status(results)


def _refuse_film_options(args, jobs):
    """No option is ignored in silence."""
    given = [f"--{name}" for name in ("codec", "crf", "preset") if getattr(args, name) is not None]
    if given and not any(job.video for job in jobs):
        raise InputError(f"expected a film for {' and '.join(given)} but all inputs are pictures; "
                         "leave it out, or choose the suffix of a film for the output")


def _carry_out(jobs, networks, args):
    """Yield the result of each job, and tell of it."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.enlarge.batch import run_jobs

    given = {"codec": args.codec, "crf": args.crf, "preset": args.preset}
    encoder = {name: value for name, value in given.items() if value is not None}
    found = run_jobs(jobs, networks.upscaler(), overwrite=args.overwrite, layout=args.compare,
                     encoder=encoder, progress=partial(_film_bar, kind=args.progress))
    kind = args.progress if len(jobs) > 1 else "none"
    for result in bar(found, kind=kind, desc="all", unit="files", total=len(jobs)):
        _tell(result)
        yield result


def _film_bar(job, total, kind):
    from elsr_paddle.commands.progress import bar

    return bar(kind=kind, desc=job.source.name, unit="frames", total=total)


class Networks:
    """The networks that the arguments name, and those that were used.

    Parameters
    ----------
    args : argparse.Namespace of `build_parser`
    jobs : list of Job, to tell how much work there is

    Attributes
    ----------
    used : dict of Path, weights -> engine
    """

    def __init__(self, args, jobs):
        self._args, self._jobs, self.used = args, jobs, {}

    def upscaler(self):
        """An Upscaler for the size that is wanted."""
        from elsr_paddle.enlarge.sizes import Target, Upscaler

        args = self._args
        files = self._files()
        default = None if args.size or args.fit else max(files)
        target = Target(args.scale or default, args.size, args.fit)
        return Upscaler(lambda scale: self._engine(files[scale]), files, target, args.max_pixels)

    def _files(self):
        """The file for each scale."""
        given = self._args.weights
        return {self._engine(given).scale: given} if given else weights_of(self._args.model)

    def _engine(self, path):
        if path not in self.used:
            self.used[path] = self._load(path)
        return self.used[path]

    def _load(self, path):
        from elsr_paddle.engines.choose import make_engine
        from elsr_paddle.engines.engine import EngineOptions
        from elsr_paddle.enlarge.batch import lr_pixels
        from elsr_paddle.networks.weights import read

        args = self._args
        engine = make_engine(read(path), EngineOptions(
            args.engine, args.device, args.threads, args.max_pixels, lr_pixels(self._jobs)))
        _say(f"engine {engine.name} on {engine.device} ({engine.reason}), "
             f"{engine.model_name} x{engine.scale} of {path}")
        return engine


def weights_of(model: str | None) -> dict[int, Path]:
    """The file for each scale of a model: what ships, else what `train` left under out/.

    Without a model, `zoo.DEFAULT`.

    Raises
    ------
    InputError if there is no such model, or none of its weights are at hand.
    """
    from elsr_paddle.networks import NETWORKS, zoo

    model = model or zoo.DEFAULT
    entries, damaged = zoo.available(OUT)
    for line in damaged:
        warn(line)
    scales = sorted({entry.scale for entry in entries})
    found = {scale: zoo.choose(entries, model, scale, shipped_first=True) for scale in scales}
    files = {scale: entry.path for scale, entry in found.items() if entry}
    if files:
        return files
    known = ", ".join(sorted({entry.name for entry in entries}))
    if model in NETWORKS:
        raise InputError(f"no weights of {model} ship and none were trained under {OUT}/; take one "
                         f"of {known}, or train it: elsr train --model {model} --help")
    raise InputError(f"expected a model of {known} but got {model!r}; `elsr models` lists them")


@contextmanager
def _sigterm_as_exit():
    """Let SIGTERM end the run as Ctrl-C does: through every `finally`, so no half file stays.

    Not in a thread, to which Python gives no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up takes a moment
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _our_limit_alone(jobs):
    """Suspend Pillow's limit on the pixels of an input: --max-pixels counts those of the output."""
    if all(job.video for job in jobs):  # films do not wait for Pillow
        yield
        return
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


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
        _say(f"{source} -> {result.job.output} {outcome.width}x{outcome.height}{frames}, "
             f"{result.seconds:.1f} s{_missing(outcome)}")


def _missing(outcome):
    return f"; INCOMPLETE: {outcome.missing} missing" if outcome.missing else ""


def _report(results, used):
    items = [{"input": str(result.job.source), "output": str(result.job.output),
              "status": result.status, "error": result.error,
              "seconds": round(result.seconds, 3), **vars(result.outcome)} for result in results]
    counts = {status: sum(result.status == status for result in results)
              for status in ("done", "skipped", "failed")}
    engines = [{"name": engine.name, "device": engine.device, "model": engine.model_name,
                "scale": engine.scale, "weights": str(path)} for path, engine in used.items()]
    return {"engines": engines, **counts, "items": items}


def _status(results):
    failed = sum(result.status == "failed" for result in results)
    if failed == len(results):
        return 2
    return int(failed > 0 or any(result.outcome.missing for result in results))


if __name__ == "__main__":
    run(main)
