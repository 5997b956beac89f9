"""Measure the networks that ship: on benchmark sets, on clips, and the values that they hold.

    python benchmarks/quality.py --benchmarks DIR [--clips DIR] [--json FILE] [--plots DIR]

DIR holds sets as `Set5/HR`, with the published LR files in `Set5/LR_bicubic/X4` where they are;
the folder of clips holds a folder of frames or a video for each. Prints Markdown; draws costs,
times and three photos of scikit-image. Needs no Paddle.

    python benchmarks/quality.py --benchmarks DIR --times

is over in some minutes: networks of x4 on the sets alone, and the time of a frame on one core.

    python benchmarks/quality.py --benchmarks DIR --clips DIR --real

is about the pictures and films that people have: compressed, noisy, shrunk in other ways.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from machine import about
from matplotlib.ticker import FormatStrFormatter
from skimage.data import astronaut, chelsea, coffee

from elsr_paddle.commands.shared import OUT, PLOTS, Skipped, run
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.evaluation.candidates import (
    Candidate,
    below_bicubic,
    evaluate_clips,
    evaluate_sets,
    load_candidates,
    upscalers,
)
from elsr_paddle.evaluation.compare import evaluate_image
from elsr_paddle.evaluation.figures import CostAxis, CostPoint, cost_figure, item_figure
from elsr_paddle.evaluation.frame_times import (
    REAL_TIME_MS,
    ROUNDS,
    FrameTimes,
    encoder_milliseconds,
    network_milliseconds,
)
from elsr_paddle.evaluation.inspection import EngineError, ValueRange, engine_error, value_ranges
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.published import PORT_ON_ITS_CLIP_DB, published
from elsr_paddle.evaluation.results import BICUBIC, Summary, write_json
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.evaluation.tables import benchmark_table, clips_table, ranges_table, table
from elsr_paddle.imaging.io import read_image
from elsr_paddle.networks.zoo import SHIPPED

SCALE = 4  # of clips, of LR without antialiasing and of the pictures
COST_SET = "Set14"
PORT_CLIP = "reds_320x180"
PORT_EVERY = 4  # ELSR-torch takes every 4th frame
# The crop to enlarge as (top, left, height, width); None finds where networks differ most.
PHOTOS = {astronaut: (150, 380, 102, 102), chelsea: None, coffee: None}


def main(argv=None):
    args = parse(argv)
    if args.real:
        import real_sources

        return real_sources.main(args)
    candidates, skipped = load_candidates(args.weights, args.engine), Skipped()
    shown = of_scale(for_matlab(candidates), SCALE)
    figures = (measure_x4 if args.times else measure)(candidates, args, skipped)
    write_json(args.json, figures.as_dict())
    if COST_SET in figures.stills.get(SCALE, {}):
        draw_costs(args.plots / "psnr_cost.png", shown, figures.stills[SCALE][COST_SET])
        if figures.times:
            draw_times(args.plots / "psnr_ms.png", shown, figures)
    if not args.times:
        draw_photos(args.plots, shown)
    print(as_markdown(figures, candidates))
    return skipped.status()


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=Path, required=True, metavar="DIR")
    parser.add_argument("--clips", type=Path, metavar="DIR")
    parser.add_argument("--weights", type=Path, default=SHIPPED, metavar="DIR",
                        help="folder of networks (default: those that ship)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--times", action="store_true", help="x4 on the sets and the time of a "
                        "frame alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that a frame is timed in "
                        f"(default: {ROUNDS}); 0 leaves the times out")
    parser.add_argument("--real", action="store_true", help="compressed, noisy and badly shrunk "
                        "pictures and films alone, ringing and flicker")
    parser.add_argument("--scales", type=int, nargs="+", metavar="S", help="of --real alone")
    parser.add_argument("--pictures", type=int, metavar="N", help="of --real: the first N alone")
    parser.add_argument("--json", type=Path, default=OUT / "quality.json", metavar="FILE")
    parser.add_argument("--plots", type=Path, default=PLOTS, metavar="DIR")
    return parser.parse_args(argv)


@dataclass(frozen=True, eq=False)
class Inspected:
    """A network, and what was measured on the pictures of one set."""

    candidate: Candidate
    measured_on: str
    engine_error: EngineError
    ranges: list[ValueRange]

    def as_dict(self):
        return {**self.candidate.as_dict(), "measured_on": self.measured_on,
                "engine_error": self.engine_error, "ranges": self.ranges}


@dataclass(frozen=True, eq=False)
class Figures:
    """Every figure that is printed.

    Attributes
    ----------
    about : str, the machine
    networks : list of Inspected
    stills : dict, scale -> name of the set -> Summary, LR by MATLAB's bicubic
    opencv_cubic : dict, name of the set -> Summary at `SCALE`, LR by OpenCV's cubic
    clips : dict, protocol -> name of the clip -> Summary at `SCALE`
    times : FrameTimes at `SCALE`; None if nothing was timed
    """

    about: str
    networks: list[Inspected]
    stills: dict[int, dict[str, Summary]]
    opencv_cubic: dict[str, Summary]
    clips: dict[str, dict[str, Summary]]
    times: FrameTimes | None

    def as_dict(self):
        stills = {f"x{scale}": sets for scale, sets in self.stills.items()}
        return {"about": self.about, "networks": self.networks, "stills": stills,
                "opencv_cubic": self.opencv_cubic, "clips": self.clips, "times": self.times}


def for_matlab(candidates):
    """The networks for LR by MATLAB's bicubic, the only ones that are shown on it."""
    return [found for found in candidates if found.trained.degradation == "bicubic"]


def of_scale(candidates, scale):
    return [found for found in candidates if found.scale == scale]


def measure(candidates, args, skipped):
    usual, of_every_kind = for_matlab(candidates), of_scale(candidates, SCALE)
    stills = {scale: evaluate_sets(args.benchmarks, of_scale(usual, scale),
                                   EvaluationOptions(scale), skipped)
              for scale in sorted({found.scale for found in usual})}
    opencv_cubic = EvaluationOptions(SCALE, degradation="opencv_cubic")
    return Figures(
        about(),
        [inspect(candidate, args.benchmarks) for candidate in candidates],
        stills,
        evaluate_sets(args.benchmarks, of_every_kind, opencv_cubic, skipped)
        if of_every_kind else {},
        measure_clips(args.clips, of_every_kind, skipped) if args.clips else {},
        measure_times(of_scale(usual, SCALE), args),
    )


def measure_x4(candidates, args, skipped):
    """Of all figures only those that stand beside the time of a frame."""
    usual = of_scale(for_matlab(candidates), SCALE)
    stills = evaluate_sets(args.benchmarks, usual, EvaluationOptions(SCALE), skipped)
    return Figures(about(), [], {SCALE: stills}, {}, {}, measure_times(usual, args))


def measure_times(candidates, args):
    if not (candidates and args.rounds):
        return None
    encoder = encoder_milliseconds(coffee(), candidates[-1].engine.upscale)
    networks = network_milliseconds(candidates, SCALE, args.engine, args.rounds)
    return FrameTimes(networks, encoder)


def measure_clips(folder, candidates, skipped):
    """Protocol -> name of the clip -> Summary, for the protocols that there are networks for."""
    kinds = {"rgb": (for_matlab(candidates), 1), "port": (candidates, PORT_EVERY)}
    return {protocol: evaluate_clips(folder, chosen, EvaluationOptions(SCALE, protocol), skipped,
                                     every)
            for protocol, (chosen, every) in kinds.items() if chosen}


def inspect(candidate, benchmarks):
    """A network, its engine's error and the values it holds on the first of the sets."""
    trained = candidate.trained
    sets = find_sets(benchmarks, trained.scale, given_lr=trained.degradation == "bicubic")
    name, stills = next(iter(sets.items()))
    images = [read_image(still.lr_path) if still.lr_path
              else make_pair(read_image(still.path), trained.scale, trained.degradation)[0]
              for still in stills]
    return Inspected(candidate, name, engine_error(trained.graph, candidate.engine, images),
                     value_ranges(trained.graph, images))


def draw_costs(path, candidates, summary):
    points = cost_points(candidates, summary, {found.name: found.multiply_adds
                                               for found in candidates},
                         {row.method: row.multiply_adds for row in published(SCALE, [COST_SET])})
    cost_figure(path, points, f"{COST_SET} x{SCALE}, Y: PSNR against cost")


def draw_times(path, candidates, figures):
    """Methods that cannot be timed are left out, but for bicubic, the line across."""
    times = figures.times.networks
    points = cost_points(candidates, figures.stills[SCALE][COST_SET], times,
                         {**times, BICUBIC: None})
    marks = {f"libx264 veryfast, one frame: {figures.times.encoder:.1f} ms": figures.times.encoder,
             "30 frames a second": REAL_TIME_MS}
    axis = CostAxis("milliseconds of one core for a frame, 320×180 → 1280×720 RGB\n"
                    "(of networks of others: their layers in the engine that runs ours)",
                    FormatStrFormatter("%g"), marks)
    cost_figure(path, points, f"{COST_SET} x{SCALE}, Y: PSNR against time", axis)


def cost_points(candidates, summary, costs, published_costs):
    """Published methods and ours, as far as they have a cost (None is one: nothing)."""
    points = [CostPoint(row.method.replace(", luma", ""), published_costs[row.method],
                        row.psnr_db[COST_SET], as_published=not row.run_by_us)
              for row in published(SCALE, [COST_SET]) if row.method in published_costs]
    return points + [CostPoint(found.name.upper(), costs[found.name],
                               summary.mean[found.name].psnr_db, ours=True)
                     for found in candidates if found.name in summary.mean]


def draw_photos(folder, candidates):
    """The photos of scikit-image that are free to be shown, as every network gives them."""
    for photo, crop in PHOTOS.items() if candidates else ():
        item = evaluate_image(photo(), upscalers(candidates), EvaluationOptions(SCALE))
        title = f"{photo.__name__}, x{SCALE}, PSNR on Y"
        item_figure(folder / f"still_{photo.__name__}.png", title, item, crop)


def as_markdown(figures, candidates):
    parameters = {(found.name, found.scale): found.trained.graph.parameter_count
                  for found in candidates}
    return "\n\n".join([
        figures.about,
        *([networks_section(figures.networks)] if figures.networks else []),
        *(stills_section(f"x{scale}: PSNR on Y in dB / SSIM, LR by MATLAB's bicubic", sets, scale,
                         parameters, comparable=True)
          for scale, sets in figures.stills.items()),
        *([stills_section(f"x{SCALE}, LR by OpenCV's cubic, which does not antialias",
                          figures.opencv_cubic, SCALE, parameters, comparable=False)]
          if figures.opencv_cubic else []),
        *([times_section(figures, of_scale(for_matlab(candidates), SCALE))]
          if figures.times else []),
        *clips_section(figures.clips),
        *map(ranges_section, figures.networks),
    ])


def networks_section(networks):
    headers = ["network", "for LR by", "parameters", "M multiply-adds", "engine", "levels",
               "values that differ"]
    return ("### The networks\n\nMultiply-adds are those of a 320x180 frame. The last two columns: "
            "how far the engine's output is from the network in float64, rounded.\n\n"
            + table(headers, map(network_row, networks)))


def network_row(found):
    candidate, error = found.candidate, found.engine_error
    return [candidate.trained.path.name, candidate.trained.degradation,
            f"{candidate.trained.graph.parameter_count:,}", candidate.multiply_adds / 1e6,
            candidate.engine.name, error.levels, f"{error.share:.4%}"]


def networks_in(results):
    """The names of the networks that were evaluated."""
    return [method for method in next(iter(results.values())).mean if method != BICUBIC]


def stills_section(title, sets, scale, parameters, *, comparable):
    ours = {name: parameters[name, scale] for name in networks_in(sets)}
    return (f"### Stills, {title}\n\n"
            + benchmark_table(sets, ours, scale=scale, comparable=comparable) + "\n\n"
            + "\n".join(below(sets, name) for name in ours))


def below(results, network):
    """A line on the pictures on which a network does not beat bicubic."""
    found = below_bicubic(results, network)
    total = sum(len(summary.items) for summary in results.values())
    names = ", ".join(f"{f.set_name}/{f.image_name} ({f.network_db:.2f} against "
                      f"{f.bicubic_db:.2f})" for f in found)
    return (f"- {network.upper()}: not above bicubic on {len(found)} of {total} pictures"
            + (f": {names}" if 0 < len(found) < total else ""))


def times_section(figures, candidates):
    """Every network that was timed, by its time, with its dB on each set."""
    times, sets = figures.times, figures.stills.get(SCALE, {})
    rows = [[row.method, row.parameters, row.multiply_adds / 1e6, times.networks[row.method],
             *(row.psnr_db.get(name) for name in sets),
             "weights run by us" if row.run_by_us else "as published"]
            for row in published(SCALE, sets) if row.method in times.networks]
    rows += [[found.name.upper(), f"{found.trained.graph.parameter_count:,}",
              found.multiply_adds / 1e6, times.networks[found.name],
              *(sets[name].mean[found.name].psnr_db for name in sets), "ours"]
             for found in candidates]
    headers = ["network", "parameters", "M multiply-adds", "ms", *sets, "dB"]
    return (f"### The time of a frame, 320x180 x{SCALE}, RGB to RGB, one core\n\n"
            "Of networks of others the layers are run here, with random weights, by the engine "
            "that runs ours; what they add to the last layer's output is left out, and ESPCN of "
            "the edge-SR study is taken to have ReLU. libx264 veryfast needs "
            f"{times.encoder:.1f} ms for a frame of that size.\n\n"
            + table(headers, sorted(rows, key=lambda row: row[3])))


def clips_section(clips):
    others = {"rgb": (), "port": [("ELSR-torch", {PORT_CLIP: PORT_ON_ITS_CLIP_DB})]}
    titles = {"rgb": "REDS protocol: RGB, full frame, LR by MATLAB's bicubic",
              "port": "the protocol of ELSR-torch: LR by OpenCV's cubic, every "
                      f"{PORT_EVERY}th frame"}
    for protocol, results in clips.items():
        names = networks_in(results)
        yield (f"### Clips, x{SCALE}, {titles[protocol]}, PSNR in dB\n\n"
               + clips_table(results, names, others[protocol]) + "\n\n"
               + "\n".join(below(results, name) for name in names))


def ranges_section(found):
    return (f"### What {found.candidate.trained.path.name} holds: least and greatest value, of "
            f"outputs over {found.measured_on}; the input is 0 .. 1\n\n"
            + ranges_table(found.ranges))


if __name__ == "__main__":
    run(main)
