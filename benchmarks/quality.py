"""What the shipped networks are worth: benchmark sets, clips, LR of another kind, their values.

    python benchmarks/quality.py --benchmarks DIR [--clips DIR] [--json FILE] [--plots DIR]

DIR holds sets as `Set5/HR`, with the published LR files in `Set5/LR_bicubic/X4` where they are;
the folder of clips a folder of frames or a video for each. Prints Markdown; draws costs and three
photos of scikit-image. Needs no Paddle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from elsr_paddle.engines.loading import WEIGHTS
from skimage.data import astronaut, chelsea, coffee
from speed import about

from elsr_paddle.commands import shared as cli
from elsr_paddle.evaluation import shipped as quality
from elsr_paddle.evaluation.compare import PROTOCOLS, evaluate_image, find_sets, write_json
from elsr_paddle.evaluation.figures import CostPoint, cost_figure, networks_figure, table
from elsr_paddle.evaluation.published import PORT_ON_ITS_CLIP_DB, published
from elsr_paddle.evaluation.tables import benchmark_table, clips_table, ranges_table
from elsr_paddle.imaging.degrade import make_pair
from elsr_paddle.imaging.io import read_image

SCALE = 4  # of clips, of LR of another kind and of the pictures
COST_SET = "Set14"
PORT_CLIP = "reds_320x180"
PORT_EVERY = 4  # the port takes every 4th frame
# The crop to enlarge as (top, left, height, width); None finds where networks differ most.
PHOTOS = {astronaut: (150, 380, 102, 102), chelsea: None, coffee: None}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=Path, required=True, metavar="DIR")
    parser.add_argument("--clips", type=Path, metavar="DIR")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR",
                        help="folder of networks (default: those shipped)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--json", type=Path, default=cli.OUT / "quality.json", metavar="FILE")
    parser.add_argument("--plots", type=Path, default=cli.PLOTS, metavar="DIR")
    args = parser.parse_args(argv)
    networks = quality.load_networks(args.weights, args.engine)
    skipped = cli.Skipped()
    figures = measure(networks, args, skipped)
    write_json(args.json, figures)
    if COST_SET in figures["stills"].get(f"x{SCALE}", {}):
        draw_costs(args.plots / "psnr_cost.png", figures)
    draw_photos(args.plots, [n for n in for_matlab(networks) if n.scale == SCALE])
    print(as_markdown(figures))
    return skipped.status()


def for_matlab(networks):
    """The networks for LR by MATLAB's bicubic, the only ones that are shown on it."""
    return [network for network in networks if network.degradation == "bicubic"]


def measure(networks, args, skipped):
    """Every figure that is printed, as nested dicts."""
    usual = for_matlab(networks)
    by_scale = {scale: [n for n in usual if n.scale == scale]
                for scale in sorted({n.scale for n in usual})}
    options = {"on_error": skipped}
    figures = {
        "about": about(),
        "networks": [described(network, args.benchmarks) for network in networks],
        "stills": {f"x{scale}": quality.evaluate_sets(args.benchmarks, same_scale, **options)
                   for scale, same_scale in by_scale.items()},
    }
    of_every_kind = [network for network in networks if network.scale == SCALE]
    if of_every_kind:
        figures["opencv_cubic"] = quality.evaluate_sets(
            args.benchmarks, of_every_kind, degradation="opencv_cubic", **options)
        clips = (("rgb", by_scale.get(SCALE), 1), ("port", of_every_kind, PORT_EVERY))
        figures["clips"] = args.clips and {
            protocol: quality.evaluate_clips(args.clips, chosen, protocol=protocol, every=every,
                                             **options)
            for protocol, chosen, every in clips if chosen}
    return figures


def described(network, benchmarks):
    """What a network is; its engine's error and its layers' values on the first of the sets."""
    sets = find_sets(benchmarks, network.scale, given_lr=network.degradation == "bicubic")
    name, stills = next(iter(sets.items()))
    images = [read_image(still.lr_path) if still.lr_path
              else make_pair(read_image(still.path), network.scale, network.degradation)[0]
              for still in stills]
    return {**network.record(), "measured_on": name,
            "engine_error": quality.disagreement(network, images),
            "ranges": quality.value_ranges(network.graph, images)}


def evaluated(networks, scale, means):
    """The descriptions of the networks of a scale that have a mean."""
    return [n for n in networks if n["scale"] == scale and n["name"] in means]


def draw_costs(path, figures):
    means = figures["stills"][f"x{SCALE}"][COST_SET]["mean"]
    points = [CostPoint(row.method, row.multiply_adds, row.psnr_db[COST_SET])
              for row in published(SCALE, [COST_SET])]
    points += [CostPoint(network["name"].upper(), network["multiply_adds"],
                         means[network["name"]]["psnr_db"], ours=True)
               for network in evaluated(figures["networks"], SCALE, means)]
    cost_figure(path, points, f"{COST_SET} x{SCALE}, Y: PSNR against cost")


def draw_photos(folder, networks):
    """The photos of scikit-image that are free to be shown, as every network gives them."""
    for photo, crop in PHOTOS.items() if networks else ():
        item = evaluate_image(photo(), {n.name: n.engine.upscale for n in networks}, scale=SCALE,
                              protocol=PROTOCOLS["y"])
        title = f"{photo.__name__}, x{SCALE}, PSNR on Y"
        networks_figure(folder / f"still_{photo.__name__}.png", title, item, crop)


def as_markdown(figures):
    return "\n\n".join([
        figures["about"],
        networks_section(figures["networks"]),
        *(stills_section(f"{scale}: PSNR on Y in dB / SSIM, LR by MATLAB's bicubic", sets,
                         int(scale[1:]), figures["networks"], comparable=True)
          for scale, sets in figures["stills"].items()),
        *([stills_section(f"x{SCALE}, LR by OpenCV's cubic, which does not antialias",
                          figures["opencv_cubic"], SCALE, figures["networks"], comparable=False)]
          if "opencv_cubic" in figures else []),
        *clips_section(figures.get("clips")),
        *map(ranges_section, figures["networks"]),
    ])


def networks_section(networks):
    rows = [
        [network["file"], network["degradation"], f"{network['parameters']:,}",
         network["multiply_adds"] / 1e6, network["engine"], network["engine_error"]["levels"],
         f"{network['engine_error']['share']:.4%}"]
        for network in networks
    ]
    headers = ["network", "for LR by", "parameters", "M multiply-adds", "engine", "levels",
               "values that differ"]
    return ("### The networks\n\nMultiply-adds are those of a 320x180 frame. The last two columns: "
            "how far the engine's output is from the network in float64, rounded.\n\n"
            + table(headers, rows))


def stills_section(title, sets, scale, networks, *, comparable):
    means = next(iter(sets.values()))["mean"]
    ours = {n["name"]: n["parameters"] for n in evaluated(networks, scale, means)}
    return (f"### Stills, {title}\n\n"
            + benchmark_table(sets, ours, scale=scale, comparable=comparable) + "\n\n"
            + "\n".join(below(sets, name) for name in ours))


def below(results, name):
    """A line on the pictures on which a network does not beat bicubic."""
    found = quality.below_bicubic(results, name)
    total = sum(len(figures["items"]) for figures in results.values())
    names = ", ".join(f"{f['set']}/{f['name']} ({f['network_db']:.2f} against "
                      f"{f['bicubic_db']:.2f})" for f in found)
    return (f"- {name.upper()}: not above bicubic on {len(found)} of {total} pictures"
            + (f": {names}" if 0 < len(found) < total else ""))


def clips_section(clips):
    others = {"rgb": (), "port": [("PyTorch port", {PORT_CLIP: PORT_ON_ITS_CLIP_DB})]}
    titles = {"rgb": "REDS protocol: RGB, full frame, LR by MATLAB's bicubic",
              "port": f"the port's protocol: LR by OpenCV's cubic, every {PORT_EVERY}th frame"}
    for protocol, results in (clips or {}).items():
        names = [key for key in next(iter(results.values()))["mean"] if key != "bicubic"]
        yield (f"### Clips, x{SCALE}, {titles[protocol]}, PSNR in dB\n\n"
               + clips_table(results, names, others[protocol]) + "\n\n"
               + "\n".join(below(results, name) for name in names))


def ranges_section(network):
    return (f"### What {network['file']} holds: least and greatest value, of outputs over "
            f"{network['measured_on']}; the input is 0 .. 1\n\n{ranges_table(network['ranges'])}")


if __name__ == "__main__":
    cli.run(main)
