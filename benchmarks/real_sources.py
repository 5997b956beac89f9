"""Print how networks do on sources that people have: what `benchmarks/quality.py --real` does."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from machine import about
from skimage.data import astronaut, chelsea, coffee

from elsr_paddle.data.degradations import Corrupted
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import load_candidates, upscalers
from elsr_paddle.evaluation.compare import evaluate_image
from elsr_paddle.evaluation.figures import item_figure
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.real_sources import (
    DOWNSAMPLERS,
    FILMS,
    LANCZOS,
    PICTURES,
    as_enlarged,
    measure_clips,
    measure_pictures,
    methods_of,
    ringing,
    step_edge,
)
from elsr_paddle.evaluation.results import BICUBIC, write_json
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.evaluation.tables import table
from elsr_paddle.files import VIDEO_SUFFIXES, natural_key
from elsr_paddle.imaging.degrade import JPEG, Bicubic
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.resize import modcrop
from elsr_paddle.networks.zoo import DEBLOCKED
from elsr_paddle.video.read import read_frames
from elsr_paddle.video.recode import Film

PICTURE_SET = "B100"
CLIP_FRAMES = 12  # of each clip, the first
RINGING = {"B100, clean": Bicubic(), "B100, JPEG q 50": Corrupted(codec=JPEG(50))}
# Photos that are drawn at x4: what happened to each, the kind of networks for that, and the crop
# (top, left, height, width).
DRAWN = {
    astronaut: ("JPEG of quality 50", Corrupted(codec=JPEG(50)), "jpeg", (120, 90, 150, 150)),
    chelsea: ("noise of 8", Corrupted(noise=8), "compressed", (70, 120, 150, 150)),
    coffee: ("a film of H.264 CRF 28", Corrupted(codec=Film("libx264", 28), in_time=True),
             "compressed", (150, 220, 150, 150)),
}
DRAWN_SCALE, DRAWN_BY = 4, ("elsr-l", "elsr-y-{}", "elsr-l-{}")


def main(args):
    """Measure and print; the exit status."""
    candidates = [found for found in load_candidates(args.weights, args.engine)
                  if not args.scales or found.scale in args.scales]
    sets = find_sets(args.benchmarks, 1, given_lr=False)
    if PICTURE_SET not in sets:
        raise InputError(f"expected {PICTURE_SET}/HR in {args.benchmarks} but found "
                         f"{', '.join(sets)}")
    stills = sets[PICTURE_SET][:args.pictures]
    clips = read_clips(args.clips) if args.clips else []
    figures, sections = {}, [about()]
    for scale in sorted({found.scale for found in candidates}):
        chosen = [found for found in candidates if found.scale == scale]
        methods = methods_of(upscalers(chosen), scale)
        deblocked = {found.name for found in chosen if found.trained.degradation in DEBLOCKED}
        methods_on = partial(as_enlarged, methods, deblocked)
        found = measure(stills, clips, methods_on, scale)
        figures[f"x{scale}"] = found
        sections += as_sections(found, list(methods), scale)
        if scale == DRAWN_SCALE:
            draw_photos(args.plots, methods_on)
    write_json(args.json, figures)
    print("\n\n".join(sections))
    return 0


def read_clips(folder):
    """The first frames of every clip of a folder, uint8 (T, H, W, 3) each."""
    paths = [path for path in sorted(Path(folder).iterdir(), key=natural_key)
             if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]
    return [np.stack(list(islice(read_frames(path), CLIP_FRAMES))) for path in paths]


def measure(stills, clips, methods_on, scale):
    """Title of a table -> kind of source -> Measured, and the ringing.

    `methods_on` gives the methods for a kind of source.
    """
    found = {
        "pictures": {name: measure_pictures(stills, methods_on(kind), kind, scale)
                     for name, kind in PICTURES.items()},
        "downsamplers": {name: measure_pictures(stills, methods_on(kind), kind, scale)
                         for name, kind in DOWNSAMPLERS.items()},
        "ringing": measure_ringing(stills, methods_on, scale),
    }
    if clips:
        found["films"] = {name: measure_clips(clips, methods_on(kind), kind, scale)
                          for name, kind in FILMS.items()}
    return found


def measure_ringing(stills, methods_on, scale):
    """Picture or set -> method -> Ringing."""
    photos = [modcrop(read_image(still.path), scale) for still in stills]
    pictures = {"step edge": (None, [step_edge()]),
                **{name: (kind, [kind(hr[None], scale)[0] for hr in photos])
                   for name, kind in RINGING.items()}}
    return {name: {method: ringing(lr, enlarge) for method, enlarge in methods_on(kind).items()}
            for name, (kind, lr) in pictures.items()}


def draw_photos(folder, methods_on):
    """Photos that are free to be shown, as bicubic and some networks give them."""
    for photo, (what, degradation, kind, crop) in DRAWN.items():
        methods = methods_on(degradation)
        names = [name.format(kind) for name in DRAWN_BY]
        shown = {name: methods[name] for name in names if name in methods}
        hr = modcrop(photo(), DRAWN_SCALE)
        lr = degradation(hr[None], DRAWN_SCALE)[0]
        item = evaluate_image(hr, shown, EvaluationOptions(DRAWN_SCALE), lr=lr)
        title = f"{photo.__name__}, {what}, x{DRAWN_SCALE}, PSNR on Y"
        item_figure(folder / f"real_{photo.__name__}.png", title, item, crop)


def as_sections(found, methods, scale):
    """The tables of one scale, Markdown."""
    titles = {"pictures": f"{PICTURE_SET} x{scale}, by what happened to LR",
              "downsamplers": f"{PICTURE_SET} x{scale}, by how LR was made",
              "films": f"clips x{scale}, by the film that LR was"}
    sections = [gains_section(titles[name], found[name], methods)
                for name in titles if name in found]
    if "films" in found:
        sections.append(flicker_section(found["films"], methods, scale))
    return [*sections, ringing_section(found["ringing"], methods, scale)]


def gains_section(title, rows, methods):
    """PSNR of bicubic, and what each method gains over it, with the share that falls below it."""
    others = [method for method in methods if method != BICUBIC]
    cells = [[name, float(np.mean(row.psnr_db[BICUBIC])),
              *(gain(row, method) for method in others)] for name, row in rows.items()]
    return (f"### {title}: PSNR on Y in dB, and over bicubic (in brackets: on how many it falls "
            f"below)\n\n" + table(["source", BICUBIC, *others], cells))


def gain(row, method):
    below = row.below_bicubic(method)
    return f"{row.gain_db(method):+.2f}" + (f" ({below})" if below and method != LANCZOS else "")


def flicker_section(rows, methods, scale):
    others = [method for method in methods if method != BICUBIC]
    cells = [[name, float(np.mean(row.flicker_db[BICUBIC])),
              *(f"{row.steadier_db(method):+.2f}" for method in others)]
             for name, row in rows.items()]
    return (f"### Flicker of clips x{scale}: PSNR of the change from frame to frame in dB, and "
            "over bicubic (below zero: it flickers more)\n\n"
            + table(["source", BICUBIC, *others], cells))


def ringing_section(rows, methods, scale):
    cells = [[name, *(f"{row[method].mean:.2f} / {row[method].greatest:.0f}"
                      for method in methods)] for name, row in rows.items()]
    return (f"### Ringing x{scale}: levels beyond the 3x3 LR pixels around, mean / 99.9th "
            "percentile\n\n" + table(["picture", *methods], cells))
