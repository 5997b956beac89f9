"""Enlarge pictures, folders of them, animations and films: what `elsr INPUT... -o OUTPUT` does.

People read on standard error; standard output carries what --json and --progress json print.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial

from elsr_paddle.commands.enlarge_networks import Networks
from elsr_paddle.commands.enlarge_options import (
    build_parser,
    encoder_options,
    refuse_contradictions,
    refuse_idle,
)
from elsr_paddle.commands.shared import run, say
from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE


def main(argv: list[str] | None = None) -> int:
    """Enlarge what the arguments name; the exit status."""
    args = build_parser().parse_args(argv)
    refuse_contradictions(args)
    from elsr_paddle.enlarge.batch import plan_jobs, tidy

    jobs = plan_jobs(args.inputs, args.output)
    if len(jobs) == 1 and jobs[0].output == args.output and not args.overwrite and jobs[0].done:
        tidy(jobs[0])
        raise InputError(f"{args.output} exists; give --overwrite to replace it")
    refuse_idle(args, jobs)
    networks = Networks(args, jobs)
    with sigterm_as_exit(), _our_limit_alone(jobs):
        results = _all_results(jobs, networks, args)
        if args.report:
            _write_report(results, networks.best_name, args.report)
    if args.json:
        indent = None if args.progress == "json" else 2
        print(json.dumps(_report(results, networks.used), indent=indent))
    return _status(results)


def _all_results(jobs, networks, args):
    try:
        return list(_carry_out(jobs, networks, args))
    except BrokenPipeError:
        if args.output == PIPE:
            say("error: nobody reads the frames on standard output any more")
        raise


def _carry_out(jobs, networks, args):
    """Yield the result of each job, and tell of it."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.enlarge.batch import run_jobs

    encoder = encoder_options(args)
    choose = partial(networks.choose, options={"layout": args.compare, **encoder})
    found = _on_cluster(jobs, networks, args, encoder) if args.ray else run_jobs(
        jobs, choose, overwrite=args.overwrite, layout=args.compare, encoder=encoder,
        progress=partial(_film_bar, kind=args.progress))
    kind = args.progress if len(jobs) > 1 and not args.ray else "none"
    for result in bar(found, kind=kind, desc="all", unit="files", total=len(jobs)):
        _tell(result)
        yield result


def _on_cluster(jobs, networks, args, encoder):
    """Yield the results of jobs, those of one kind of source after those of another."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.enlarge.cluster import run_on_cluster

    sources, of_kind = {job: networks.source(job) for job in jobs}, {}
    for job, source in sources.items():
        of_kind.setdefault(source.kind, []).append(job)
    with bar(kind=args.progress, desc="all machines", unit="frames") as shown:
        for kind, chosen in of_kind.items():
            for result in run_on_cluster(chosen, *networks.work(kind, encoder), address=args.ray,
                                         ship=args.ship, overwrite=args.overwrite, bar=shown):
                result.outcome.source = networks.told(sources[result.job])
                yield result


def _film_bar(job, total, kind):
    from elsr_paddle.commands.progress import bar

    return bar(kind=kind, desc=job.source.name, unit="frames", total=total)


@contextmanager
def sigterm_as_exit():
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


def _tell(result):
    source, outcome = result.job.source, result.outcome
    for warning in outcome.warnings:
        say(f"warning: {source}: {warning}")
    if result.status == "failed":
        say(f"error: {source}: {result.error}")
    elif result.status == "skipped":
        say(f"{source}: {result.job.output} exists, skipped")
    else:
        frames = f", {outcome.frames} frames" if outcome.frames > 1 else ""
        say(f"{source} -> {result.job.output} {outcome.width}x{outcome.height}{frames}, "
            f"{result.seconds:.1f} s{_kept(outcome)}{_source(outcome)}{_chosen(outcome)}"
            f"{_missing(outcome)}")


def _kept(outcome):
    if not outcome.kept:
        return ""
    return f"; {outcome.kept} of {outcome.segments} segments were there"


def _source(outcome):
    return f"; source {outcome.source}" if outcome.source else ""


def _chosen(outcome):
    """By what a later run makes the same of it, however fast the machine is then."""
    return f"; chosen: --model {outcome.network}" if outcome.network else ""


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


def _write_report(results, network, path):
    """The page of --report, of all whose output is there; none if all failed.

    `network` is the name of the one that made what had no choice of its own.
    """
    there = [result for result in results if result.status != "failed"]
    if not there:
        return
    from elsr_paddle.evaluation.report import Report, add_enlarged_film, add_enlarged_picture

    report = Report("Enlarged, beside bicubic",
                    "The results, each beside bicubic of the same size.")
    for result in there:
        add = add_enlarged_film if result.job.video else add_enlarged_picture
        add(report, result.job.source, result.job.output, result.outcome.network or network)
    report.write(path)
    say(f"pictures beside bicubic in {path}")


def _status(results):
    failed = sum(result.status == "failed" for result in results)
    if failed == len(results):
        return 2
    return int(failed > 0 or any(result.outcome.missing for result in results))


if __name__ == "__main__":
    run(main)
