"""Evaluate trained networks side by side: on benchmark sets and on clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elsr_paddle.data.clips import VIDEO_SUFFIXES
from elsr_paddle.engines.choose import GPU_ENGINES, make_engine
from elsr_paddle.engines.engine import Engine, EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import evaluate_frames, evaluate_stills
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.published import FRAME_PIXELS
from elsr_paddle.evaluation.results import BICUBIC, Summary, summarise
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.files import natural_key
from elsr_paddle.networks.weights import Trained, read
from elsr_paddle.video.read import numbered_frames


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained network and the engine that runs it.

    Attributes
    ----------
    name : str, in tables and records
    trained : Trained
    engine : Engine
    """

    name: str
    trained: Trained
    engine: Engine

    @property
    def scale(self) -> int:
        """How many times it enlarges, in all passes."""
        return self.engine.scale

    @property
    def multiply_adds(self) -> int:
        """To enlarge a frame of 320x180."""
        return FRAME_PIXELS * self.trained.graph.multiply_adds

    def as_dict(self) -> dict[str, Any]:
        """What it is, for JSON."""
        trained = self.trained
        return {
            "file": trained.path.name, "name": self.name, "model": trained.network.name,
            "scale": self.scale, "config": trained.network.config,
            "degradation": trained.degradation, "parameters": trained.graph.parameter_count,
            "multiply_adds": self.multiply_adds, "engine": self.engine.name,
        }  # fmt: skip


def make_candidate(name: str, trained: Trained, options: EngineOptions) -> Candidate:
    """A network and its engine; where Paddle runs it, its float32 has all of its bits.

    Raises
    ------
    InputError as `engines.choose.load_engine`.
    """
    engine = make_engine(trained, options)
    if engine.name in GPU_ENGINES:
        from elsr_paddle.framework import use_tf32

        use_tf32(False)
    return Candidate(name, trained, engine)


def load_candidates(folder: str | Path, engine: str = "auto") -> list[Candidate]:
    """Every network of a folder of weights, by scale and then by name.

    Parameters
    ----------
    folder : str or Path
    engine : str, as for `engines.choose.load_engine`

    Returns
    -------
    list of Candidate, each named by its file without the scale, such as `elsr-y-aliased`.

    Raises
    ------
    InputError if there is none, or a file is damaged.
    """
    options = EngineOptions(engine=engine)
    found = [_read(path, options) for path in Path(folder).glob("*.safetensors")]
    if not found:
        raise InputError(f"expected .safetensors files in {folder} but found none; train networks")
    return sorted(found, key=lambda candidate: (candidate.scale, candidate.name))


def _read(path, options):
    return make_candidate(re.sub(r"_x\d+$", "", path.stem), read(path), options)


def evaluate_sets(
    folder: str | Path,
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    on_error: Callable[[InputError], None],
) -> dict[str, Summary]:
    """Every benchmark set of a folder with networks of one scale.

    Parameters
    ----------
    folder : str or Path, as for `stills.find_sets`
    candidates : sequence of Candidate, all of the options' scale, each with another name
    options : EvaluationOptions
    on_error : callable that takes an InputError

    Returns
    -------
    dict, name of the set -> Summary of bicubic and every network.
    """
    sets = find_sets(folder, options.scale, given_lr=options.lr_kind == "bicubic")
    return {name: _summary(evaluate_stills(stills, upscalers(candidates), options, on_error))
            for name, stills in sets.items()}


def evaluate_clips(
    folder: str | Path,
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    on_error: Callable[[InputError], None],
    every: int = 1,
) -> dict[str, Summary]:
    """Every clip of a folder with networks of one scale.

    Parameters
    ----------
    folder : str or Path; each folder of frames and each video in it is a clip.
    candidates, options, on_error : as for `evaluate_sets`
    every : int, every how many frames one is taken

    Returns
    -------
    dict, name of the clip -> Summary of bicubic and every network.
    """
    found = {}
    for clip in sorted(Path(folder).iterdir(), key=natural_key):
        if clip.is_dir() or clip.suffix.lower() in VIDEO_SUFFIXES:
            frames = numbered_frames(clip, every, on_error)
            items = evaluate_frames(frames, upscalers(candidates), options, on_error)
            found[clip.name] = _summary(items)
    return found


def upscalers(candidates: Sequence[Candidate]) -> dict[str, Callable]:
    """Name of each network -> function from LR image to image."""
    return {candidate.name: candidate.engine.upscale for candidate in candidates}


def _summary(items):
    records = [item.record() for item in items]
    if not records:
        raise InputError("no picture could be evaluated; give pictures, or folders of them")
    return summarise(records)


@dataclass(frozen=True)
class BelowBicubic:
    """An image on which a network is not above bicubic."""

    set_name: str
    image_name: str
    bicubic_db: float
    network_db: float


def below_bicubic(results: dict[str, Summary], network: str) -> list[BelowBicubic]:
    """The images on which a network is not above bicubic.

    Parameters
    ----------
    results : dict, name of the set or clip -> Summary
    network : str, its name
    """
    compared = [
        BelowBicubic(name, record.name, record.scores[BICUBIC].psnr_db,
                     record.scores[network].psnr_db)
        for name, summary in results.items()
        for record in summary.items
    ]
    return [found for found in compared if found.network_db <= found.bicubic_db]
