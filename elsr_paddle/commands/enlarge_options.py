"""State the options of `elsr INPUT... -o OUTPUT`, and refuse those that do not go together."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from elsr_paddle.commands.arguments import Parser, size
from elsr_paddle.commands.shared import PROGRESS
from elsr_paddle.commands.variations import add_variations
from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE

_ENCODER = ("codec", "crf", "preset", "segment")  # options of films alone
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
                        help="picture, film or folder; - for frames from standard input")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUTPUT",
                        help="file for one input, folder for several; files that are there already "
                             "are skipped, so the same command resumes a batch; - for frames to "
                             "standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--compare", choices=("split", "side"), help="put bicubic at the left")
    _add_size(parser.add_argument_group("size"))
    _add_network(parser.add_argument_group("network"))
    _add_film(parser.add_argument_group("films"))
    _add_pipes(parser.add_argument_group("frames through pipes (y4m, or raw frames)"))
    _add_cluster(parser.add_argument_group("many machines"))
    _add_reports(parser.add_argument_group("reports"))
    return parser


def _add_size(group):
    one = group.add_mutually_exclusive_group()
    one.add_argument("--scale", type=_scale, help="2, 3, 4, or between, as 1.5 (default: 4)")
    one.add_argument("--size", type=size, metavar="WxH", help="exactly this (films: even)")
    one.add_argument("--fit", type=size, metavar="WxH", help="as large as fits this box")
    group.add_argument("--max-pixels", type=_positive, default=MAX_PIXELS, metavar="N",
                       help=f"refuse outputs above this (default: {MAX_PIXELS:,})")


def _add_network(group):
    group.add_argument("--quality", choices=("fast", "balanced", "best"), help="elsr-y, elsr-m or "
                       "elsr-l, as far as they ship (default: best for pictures; for a film the "
                       "best that keeps up with it, which is measured: the line says which)")
    group.add_argument("--source", choices=("auto", "clean", "jpeg", "compressed", "aliased"),
                       default="auto", help="what the input went through before, with other "
                       "networks for each: auto tells by the tables of a JPEG, by a film's codec "
                       "and bit rate, and where these show no compression by the pixels whether it "
                       "was shrunk without antialiasing (default: %(default)s)")
    group.add_argument("--model", help="a network that `elsr models` lists, instead of --quality")
    group.add_argument("--weights", type=Path, metavar="FILE", help="weights of your own, instead "
                       "of either")
    group.add_argument("--engine", default="auto", help="auto (the fastest that works), halide, "
                       "openvino, paddle, onnxruntime, numpy or eager")
    group.add_argument("--device", help="cpu, gpu or gpu:N (default: where it is faster)")
    group.add_argument("--threads", type=_positive, metavar="N", help="default: all cores")
    add_variations(group)


def _add_film(group):
    group.add_argument("--codec", help="FFmpeg's encoder, also of hardware, such as h264_nvenc "
                       "(default: libx264, libvpx-vp9 for .webm)")
    group.add_argument("--crf", type=int, help="quality, lower is better and larger (default: 20)")
    group.add_argument("--preset", help="of the encoder (default: veryfast)")
    group.add_argument("--segment", type=_seconds, metavar="SECONDS", help="encode a film in "
                       "segments of this length, so that the same command goes on where a run was "
                       "stopped; 0: in one piece (default: 10)")


def _add_pipes(group):
    from elsr_paddle.enlarge.suffixes import PIXEL_FORMATS

    group.add_argument("--size-in", type=size, metavar="WxH", help="raw frames of this size and "
                       "of --pix-fmt come in, not y4m")
    group.add_argument("--rate-in", type=_rate, metavar="N", help="their frames a second, such as "
                       "24 or 30000/1001 (default: 25)")
    group.add_argument("--pix-fmt", choices=PIXEL_FORMATS, metavar="FORMAT", help="raw frames of "
                       f"this format go out, not y4m: {', '.join(PIXEL_FORMATS)}")


def _add_cluster(group):
    group.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help="spread pictures "
                       "and segments of films, by the best network unless --quality or --model "
                       "names another, over a Ray cluster (default: the one that this "
                       "machine is part of; local: start one for this run); --threads is then for "
                       "each task (default: 1)")
    group.add_argument("--ship", action="store_true", help="send the inputs through Ray, where not "
                       "all machines see them under the same path")


def _add_reports(group):
    group.add_argument("--progress", choices=PROGRESS, default="auto", help="auto: a bar, or lines "
                       "where there is no terminal; json: a JSON object a line on standard output")
    group.add_argument("--json", action="store_true", help="print a report for scripts at the end")
    group.add_argument("--report", type=Path, metavar="FILE.html",
                       help="write a page with a slider between bicubic and the result")


def _scale(text):
    match = re.fullmatch(r"x?(\d+(?:\.\d+)?)x?", text.lower())
    if not match or not 0 < float(match[1]) < 100:
        raise argparse.ArgumentTypeError(f"expected a factor such as 4 or 1.5 but got {text!r}")
    return float(match[1])


def _seconds(text):
    if not re.fullmatch(r"\d+(\.\d+)?", text) or 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 0, or seconds from 1, but got {text!r}")
    return float(text)


def _rate(text):
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = 0
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"expected frames a second, up to 1000, but got {text!r}")
    return rate


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 but got {text!r}")
    return int(text)


def refuse_contradictions(args: argparse.Namespace) -> None:
    """Refuse options of `build_parser` that do not go together, whatever the inputs are.

    Raises
    ------
    InputError that names them.
    """
    _refuse_two_networks(args)
    if args.report and args.compare:
        raise InputError("expected --report or --compare but got both; give one of them")
    _refuse_pipe_options(args)


def _refuse_two_networks(args):
    given = [f"--{name}" for name in ("quality", "model", "weights") if getattr(args, name)]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} each name a network; give one of them")
    if args.source != "auto" and (args.model or args.weights):
        raise InputError(f"{given[0]} names a network, whatever the source; leave --source out, or "
                         "give --quality instead")


def refuse_idle(args: argparse.Namespace, jobs: list) -> None:
    """Refuse options that these inputs would leave without effect: none is ignored in silence.

    Parameters
    ----------
    args : argparse.Namespace of `build_parser`
    jobs : list of Job

    Raises
    ------
    InputError that names them.
    """
    if args.colour_space != "ycbcr" and any(job.video for job in jobs):
        raise InputError("expected pictures for --colour-space but there is a film, whose luma the "
                         "network enlarges; leave it out")
    if args.ship and not args.ray:
        raise InputError("--ship sends inputs over a Ray cluster; give --ray as well")
    given = [f"--{name}" for name in _ENCODER if getattr(args, name) is not None]
    if given and not any(job.video for job in jobs):
        raise InputError(f"expected a film for {' and '.join(given)} but all inputs are pictures; "
                         "leave it out, or choose the suffix of a film for the output")


def _refuse_pipe_options(args):
    """Nothing but frames on standard output, and no option of pipes without one."""
    reads, writes = PIPE in args.inputs, args.output == PIPE
    if writes and (args.json or args.progress == "json"):
        raise InputError("expected frames alone on standard output but --json writes there, too; "
                         "leave it out, or choose a file for the output")
    if args.report and (reads or writes):
        raise InputError("a report reads both films again, but frames of a pipe come once; leave "
                         "--report out")
    film = [f"--{name}" for name in _ENCODER if getattr(args, name) is not None]
    if writes and film:
        raise InputError(f"frames go to standard output as they are; leave {' and '.join(film)} "
                         "out, or choose a file for the output")
    if args.ray and (reads or writes):
        raise InputError("frames of a pipe come and go in order, on this machine; leave --ray out")
    if args.size_in and not (reads and args.pix_fmt):
        raise InputError("--size-in is of raw frames on standard input; give - as the input, and "
                         "--pix-fmt")
    if args.rate_in and not args.size_in:
        raise InputError("--rate-in is of raw frames on standard input; give --size-in, too")
    if args.pix_fmt and not (writes or args.size_in):
        raise InputError("--pix-fmt is of raw frames; give - as the output, or --size-in")


def encoder_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a film that were given, by the names of `VideoOptions`."""
    raw = None
    if args.size_in:
        from elsr_paddle.video.pipes import RawFrames

        raw = RawFrames(args.size_in, args.pix_fmt, args.rate_in or Fraction(25))
    given = {**{name: getattr(args, name) for name in _ENCODER}, "raw": raw,
             "pixel_format": args.pix_fmt}
    return {name: value for name, value in given.items() if value is not None}
