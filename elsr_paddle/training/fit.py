"""Train one stage from its start, or from its saved state, to its end.

Everything random is a function of (seed, step), so the state of a run is its tensors and its step:
a run killed at any moment continues from the last state to the same bits, on the same kind of
device and the same number of threads and processes.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

from elsr_paddle.data.pairs import Pairs
from elsr_paddle.data.patches import InTurn, PatchBatches
from elsr_paddle.errors import InputError
from elsr_paddle.framework import make_deterministic, paddle, use_tf32, wait_for_all
from elsr_paddle.networks.weights import fingerprint, load_pdparams, load_tensors, load_weights
from elsr_paddle.training.run import Run
from elsr_paddle.training.runs import Progress, Recorder
from elsr_paddle.training.trainer import Trainer, versions
from elsr_paddle.training.validation import make_validation

log = logging.getLogger(__name__)


def fit(
    run: Run,
    train_pairs: Pairs | Sequence[Pairs],
    val_pairs: Pairs,
    *,
    start: Path | None = None,
    overwrite: bool = False,
    workers: int = 1,
    on_metrics: Callable[[dict], None] | None = None,
) -> dict:
    """Train one stage to its end, from its saved state where there is one.

    Parameters
    ----------
    run : Run
    train_pairs : Pairs of the stage's scale, or a sequence of those of each scale trained in turn
    val_pairs : Pairs of the stage's scale
    start : Path of weights to start from (.safetensors or .pdparams); None trains from scratch.
    overwrite : bool, leave the saved state aside, and remove what the folder holds of an older run
        once everything that is needed for the new one has been read.
    workers : int, threads that prepare patches.
    on_metrics : callable(dict), called with each line of metrics.

    Returns
    -------
    dict: the metrics of the best validation.

    Raises
    ------
    InputError if patch and pairs do not fit, the weights are those of another network, the state
        belongs to another run, the disk is full, or the loss is no longer finite (the last good
        state is kept).
    KeyboardInterrupt after Ctrl-C or SIGTERM; the state is saved first.
    """
    _set_arithmetic(run)
    if not overwrite and run.state.exists():
        run = _with_saved_kernels(run)
    every = train_pairs if isinstance(train_pairs, Sequence) else (train_pairs,)
    trainer, batches = Trainer(run), InTurn([_batches(run, pairs) for pairs in every])
    progress = _start(run, trainer, every, start, overwrite)
    if trainer.step < run.stage.steps:
        about = {"degradation": every[0].degradation, "versions": versions()}
        recorder = None
        if paddle.distributed.get_rank() == 0:
            recorder = Recorder(run, progress, about, make_validation(run, val_pairs), on_metrics)
        wait_for_all(f"{run.folder} begins")
        steps = batches.loader(trainer.step, run.stage.steps, workers=workers)
        _update_over(steps, run, trainer, recorder)
    return progress.best


def _set_arithmetic(run):
    """Equal bits in every run, or whatever a GPU computes fastest."""
    if run.deterministic:
        make_deterministic(paddle.device.get_device())
    else:
        use_tf32(True)


def _batches(run, pairs):
    """This process's share of the patches."""
    return PatchBatches(
        pairs,
        hr_patch=run.stage.hr_patch,
        batch_size=run.stage.batch_size,
        seed=run.seed,
        rank=paddle.distributed.get_rank(),
        world_size=paddle.distributed.get_world_size(),
    )


def _start(run, trainer, pairs, start, overwrite):
    """Set the trainer to the start of a run or to its saved state; gives the run's progress."""
    arrays = None if start is None else _read_start(start, run.network.name)
    identity = {**_identity(run, pairs, arrays), "kernels": trainer.kernels}
    if overwrite or not run.state.exists():
        progress = _begin(trainer, arrays, identity)
    else:
        progress = _continue(run, trainer, identity)
    wait_for_all(f"{run.folder} read")
    if overwrite and paddle.distributed.get_rank() == 0:
        run.clear()
    return progress


def _read_start(path, model):
    """The arrays of a file of weights, if it is of that model or does not tell its model."""
    if Path(path).suffix == ".pdparams":
        return load_pdparams(path)
    arrays, metadata = load_weights(path)
    if metadata["model"] != model:
        raise InputError(f"{path} holds {metadata['model']}, from which {model} cannot start: give "
                         f"--weights of {model}, --from-scratch or an --out of its own")
    return arrays


def _identity(run, pairs, arrays):
    """What must be equal for a saved state to be continued to the same bits."""
    return {
        "model": run.network.name,
        **run.network.config,
        **asdict(run.stage),
        "seed": run.seed,
        "amp": run.amp,
        "deterministic": run.deterministic,
        "training pairs": sum(map(len, pairs)),
        "degradation": pairs[0].degradation,
        "processes": paddle.distributed.get_world_size(),
        # So that a stage is not taken for done when the one before has been trained anew.
        "starts from": None if arrays is None else fingerprint(arrays),
    }


def _with_saved_kernels(run):
    """The run, with the kernels of its saved state in place of `auto`: others give other bits."""
    if run.kernels != "auto":
        return run
    _, saved = load_tensors(run.state)
    return replace(run, kernels=saved["identity"].get("kernels", "paddle"))


def _begin(trainer, arrays, identity):
    """Set the trainer to the start of a run."""
    if arrays is not None:
        fresh = trainer.start_from(arrays)
        log.info("fresh parameters: %s", ", ".join(fresh) or "none")
    return Progress(identity)


def _continue(run, trainer, identity):
    """Bring the trainer to where the saved state stands."""
    tensors, saved = load_tensors(run.state)
    progress = Progress(**saved)
    progress.identity.setdefault("kernels", "paddle")  # the only ones there were
    for option in [*fields(run.stage), *fields(run.network)]:  # one that came since had its default
        progress.identity.setdefault(option.name, option.default)
    differing = [
        f"{key}: {progress.identity.get(key)} -> {value}"
        for key, value in identity.items()
        if progress.identity.get(key) != value
    ]
    if differing:
        raise InputError(
            f"{run.state} belongs to another run ({'; '.join(differing)}): give the same options, "
            "or --overwrite to train anew"
        )
    trainer.restore(tensors, progress.scaler, progress.step)
    log.info("stage %d continues after step %d", run.stage.number, trainer.step)
    return progress


def _update_over(batches, run, trainer, recorder):
    """Make a step of each batch, and stop after a whole one; `recorder` is the first process's."""
    with _stop_requests() as requested:
        for lr, hr in batches:
            loss = trainer.update(lr, hr)
            stopping = _all_stop(requested, run, trainer.step)
            if recorder:
                recorder.after_step(trainer, loss, stopping)
            if stopping or run.validates_after(trainer.step):
                wait_for_all(f"{run.folder} step {trainer.step}")  # saved, for the next stage too
            if stopping:
                raise KeyboardInterrupt


def _all_stop(requested, run, step):
    """Whether every process stops after this step: with several, they agree as often as they log.

    A process that stopped alone would leave the others waiting for its gradients.
    """
    if paddle.distributed.get_world_size() == 1:
        return requested.is_set()
    if step % run.log_every:
        return False
    votes = paddle.to_tensor([int(requested.is_set())])
    paddle.distributed.all_reduce(votes, op=paddle.distributed.ReduceOp.MAX)
    return bool(votes.item())


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that a step is never cut in two.

    A second Ctrl-C stops at once; a second SIGTERM does not, since Paddle's launcher sends three.
    A thread other than the main one gets no signals from Python, and none are set there.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return

    def request(number, frame):
        if number == signal.SIGINT and requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, request) for number in signals}
    for number in signals if hasattr(signal, "siginterrupt") else ():  # not on Windows
        # Paddle's wait for other processes fails when a signal interrupts its system call.
        signal.siginterrupt(number, False)
    try:
        yield requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
