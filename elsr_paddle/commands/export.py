"""Export a network for other runtimes, run each file there, and tell how far off its pictures are.

Each file is compared with the network in float64 on a picture of noise and a smooth one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from elsr_paddle.commands.arguments import Parser, add_options, given_options, size
from elsr_paddle.commands.shared import run, warn
from elsr_paddle.errors import InputError
from elsr_paddle.export.format import ExportOptions, Format
from elsr_paddle.export.formats import FORMATS, find
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import Trained, read

if TYPE_CHECKING:
    import numpy as np

ALL = "all"


def main(argv: list[str] | None = None) -> int:
    """Write the formats that the arguments name; 0, or 2 if none could be written."""
    args = _parser().parse_args(argv)
    chosen = list(FORMATS.values()) if args.format == ALL else [find(args.format)]
    _refuse_idle_options(args, chosen)
    trained = read(zoo.find(args.model, args.scale))
    if args.scale not in (None, trained.scale):
        raise InputError(f"expected weights for x{args.scale} but {trained.path} holds "
                         f"x{trained.scale}")
    options = ExportOptions(**given_options(args, ExportOptions))
    if any("photos" in kind.obeys for kind in chosen):
        options = replace(options, photos=tuple(_photos(args.calibration, trained)))
    written = [_export(kind, trained, args, options) for kind in chosen]
    return 0 if any(written) else 2


def _parser():
    parser = Parser(prog="elsr export", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    epilog="Formats:\n" + "\n".join(f"  {kind.name:12} {kind.help}"
                                                    for kind in FORMATS.values()))
    parser.add_argument("--model", required=True, metavar="NAME|FILE",
                        help="a network that ships, such as elsr-y, or a file of weights")
    parser.add_argument("--scale", type=int, help="of a network that ships (default: 4)")
    parser.add_argument("--format", required=True, help=f"a format listed below, or {ALL}: every "
                        "one that the network and the installed packages allow")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=size, metavar="WxH",
                        help="of the only LR picture that is taken (default: any)")
    parser.add_argument("--calibration", type=Path, metavar="FOLDER",
                        help="HR photos that set the ranges of integer formats (default: photos of "
                             "scikit-image)")
    add_options(parser, ExportOptions)
    return parser


def _refuse_idle_options(args, chosen):
    """No option is ignored in silence."""
    obeyed = {name for kind in chosen for name in kind.obeys}
    given = {"size": args.size, "values": args.values, "photos": args.calibration}
    idle = [{"photos": "calibration"}.get(name, name) for name, value in given.items()
            if value is not None and name not in obeyed]
    if idle:
        raise InputError(f"expected no --{idle[0]} with --format {args.format}, whose files do not "
                         "depend on it")


def _photos(folder: Path | None, trained: Trained) -> Iterable[np.ndarray]:
    """LR pictures of the kind that the network is for, to calibrate on."""
    from elsr_paddle.data.degradations import make_pair
    from elsr_paddle.data.demo import calibration_photos
    from elsr_paddle.imaging.io import list_images, read_image

    if folder is None:
        return calibration_photos(trained.scale, trained.degradation)
    paths = list_images(folder)
    if not paths:
        raise InputError(f"expected photos in {folder} but found none")
    return (make_pair(read_image(path), trained.scale, trained.degradation)[0] for path in paths)


def _export(kind: Format, trained: Trained, args: argparse.Namespace, options: ExportOptions):
    """Write and verify one format; whether it was written."""
    try:
        kind.need()
        files = kind.write(trained, args.output, options)
    except InputError as error:
        if args.format != ALL:
            raise
        print(f"left out {kind.name}: {error}", flush=True)
        return False
    size = sum(file.stat().st_size for file in files) / 1000
    print(f"{kind.name:12} {files[0]}  {size:.1f} KB  {_verdict(kind, files, trained, options)}",
          flush=True)
    return True


def _verdict(kind, files, trained, options):
    from elsr_paddle.export.verify import verify

    found = []
    for runtime, enlarge in kind.runtimes().items():
        try:
            result = verify(kind, partial(enlarge, files), trained, options)
        except InputError as error:
            warn(f"{kind.name} was not run in {runtime}: {error}")
            continue
        found.append(f"{result.largest:.2f} levels in {runtime}, rms {result.rms:.2f}")
    return f"largest difference {'; '.join(found)}" if found else "not run here"


if __name__ == "__main__":
    run(main)
