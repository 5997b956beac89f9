"""Training in real processes: killed, stopped and continued, alone and with others."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.networks.weights import load_tensors, load_weights
from elsr_paddle.training.runs import read_metrics

STEPS = 60
FLAGS = ["--steps", STEPS, "--validate-every", 10, "--val-rows", 2, "--batch-size", 4,
         "--hr-patch", 32, "--expansion", 4]  # fmt: skip


def start_script(root, data, out, *flags, launcher=(), threads="1", **options):
    """Starts train.py; with `threads` None, nothing is said of their number."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if threads:
        environment["OMP_NUM_THREADS"] = threads
    command = [sys.executable, *launcher, root / "train.py", "--data", data, "--out", out,
               "--plots", out / "plots", *FLAGS, *flags]  # fmt: skip
    return subprocess.Popen(
        [str(part) for part in command], cwd=out.parent, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=environment, **options,
    )  # fmt: skip


def finish(process, status=0):
    output = process.communicate(timeout=240)[0]
    assert process.returncode == status, output
    return output


def wait_for_step(process, metrics, step):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        lines = metrics.read_text().split("\n")[:-1] if metrics.exists() else []
        if any(json.loads(line)["step"] >= step for line in lines):
            return
        time.sleep(0.002)
    raise AssertionError(f"step {step} never came: {process.communicate()[0]}")


def workers(launcher):
    """The processes that Paddle's launcher has started."""
    found = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, check=True)
    return [int(number) for number in found.stdout.split()]


@pytest.fixture(scope="module")
def uninterrupted(root, training_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    finish(start_script(root, training_data, out, "--stage", "1"))
    return out / "stage1"


def test_a_run_takes_every_core_unless_told_otherwise_and_makes_the_same_bits(
    root, training_data, uninterrupted, tmp_path
):
    process = start_script(root, training_data, tmp_path / "out", "--stage", "1", threads=None)
    assert f"threads: {min(4, available_threads())}" in finish(process)  # one a patch at most
    for name in ("best.safetensors", "last.safetensors"):
        made = tmp_path / "out/stage1" / name
        assert made.read_bytes() == (uninterrupted / name).read_bytes()


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_continues_to_the_same_bits(
    root, training_data, tmp_path, uninterrupted, kill
):
    out = tmp_path / "out"
    # Before the first state, in mid-training, and right after a validation began to write.
    for step in (2, 27, 40):
        process = start_script(root, training_data, out, "--stage", "1", "--resume",
                               "--log-every", "1")  # fmt: skip
        wait_for_step(process, out / "stage1" / "metrics.jsonl", step)
        process.send_signal(kill)
        output = process.communicate(timeout=240)[0]
        if kill == signal.SIGINT:
            assert process.returncode == 130, output
            assert "--resume continues" in output
    finish(start_script(root, training_data, out, "--stage", "1", "--resume"))
    for name in ("best.safetensors", "last.safetensors"):
        assert (out / "stage1" / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_an_older_run_is_never_overwritten_unasked(root, training_data, uninterrupted):
    before = (uninterrupted / "best.safetensors").read_bytes()
    out = uninterrupted.parent
    output = finish(start_script(root, training_data, out, "--stage", "1"), status=2)
    assert "--resume continues it, --overwrite trains anew" in output
    assert (uninterrupted / "best.safetensors").read_bytes() == before


def test_a_stage_whose_predecessor_is_missing_says_so(root, training_data, tmp_path):
    out = tmp_path / "out"
    output = finish(start_script(root, training_data, out, "--stage", "3"), status=2)
    assert output.strip().endswith("train stage 2 first, or give --weights or --from-scratch")


def test_a_later_stage_can_start_from_scratch_and_the_next_from_it(root, training_data, tmp_path):
    out = tmp_path / "out"
    flags = ("--stage", "3..4", "--from-scratch", "--steps", 4)
    output = finish(start_script(root, training_data, out, *flags))
    assert "stage 3 starts from scratch" in output
    assert f"stage 4 starts from {out / 'stage3' / 'best.safetensors'}" in output
    output = finish(start_script(root, training_data, out, *flags, "--weights", "a.pdparams"),
                    status=2)  # fmt: skip
    assert "--weights: not allowed with argument --from-scratch" in output


def test_two_processes_follow_the_loss_of_one_with_the_doubled_batch_even_when_stopped(
    root, training_data, tmp_path
):
    alone, both = tmp_path / "alone", tmp_path / "both"
    # L2, whose gradient has no jumps: rounding then stays rounding over all steps.
    flags = ["--stage", "1", "--loss", "l2", "--learning-rate", "1e-3", "--log-every", 5,
             "--steps", 120]  # fmt: skip
    finish(start_script(root, training_data, alone, *flags, "--batch-size", 8))
    launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo",
                "--log_dir", tmp_path / "log"]  # fmt: skip
    options = {"launcher": launcher, "start_new_session": True}
    killed = start_script(root, training_data, both, *flags, **options)
    wait_for_step(killed, both / "stage1" / "metrics.jsonl", 20)
    for process in workers(killed):  # in groups of their own, and not that of the launcher
        os.kill(process, signal.SIGKILL)
    killed.communicate(timeout=120)
    reached = read_metrics(both / "stage1" / "metrics.jsonl")[-1]["step"]
    stopped = start_script(root, training_data, both, *flags, "--resume", **options)
    wait_for_step(stopped, both / "stage1" / "metrics.jsonl", reached + 5)
    stopped.send_signal(signal.SIGINT)  # to the launcher, which stops both processes
    stopped.communicate(timeout=120)
    output = (tmp_path / "log" / "workerlog.0").read_text()
    assert "kernels: halide" in output and "--resume continues" in output
    assert reached < load_tensors(both / "stage1" / "state.safetensors")[1]["step"] < 120
    flags[1] = "1..2"  # no process may begin a stage before the first has saved the one before
    finish(start_script(root, training_data, both, *flags, "--resume", **options))
    assert load_weights(both / "stage2" / "last.safetensors")[1]["step"] == 120
    curves = [
        [line["loss"] for line in read_metrics(out / "stage1" / "metrics.jsonl")]
        for out in (alone, both)
    ]
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.fixture
def start_nodes(root, training_data, tmp_path):
    """Starts a run on two "machines" of one process each: start_nodes(out, *flags)."""

    def start(out, *flags):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = ["-m", "paddle.distributed.launch", "--master", f"127.0.0.1:{port}",
                  "--nnodes", "2"]  # fmt: skip
        launchers = [
            [*common, "--rank", str(rank), "--log_dir", tmp_path / f"log{rank}"]
            for rank in range(2)
        ]
        flags = ["--stage", "1", "--log-every", 5, *flags]
        return [start_script(root, training_data, out, *flags, launcher=launcher)
                for launcher in launchers]

    return start


def test_two_machines_continue_to_the_same_bits_after_one_was_lost(start_nodes, tmp_path):
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    for node in start_nodes(whole):
        finish(node)
    nodes = start_nodes(lost)
    wait_for_step(nodes[0], lost / "stage1" / "metrics.jsonl", 25)
    for process in workers(nodes[1]):
        os.kill(process, signal.SIGKILL)
    for node in nodes:  # the other one loses its partner and ends, too
        node.communicate(timeout=120)
        assert node.returncode
    for node in start_nodes(lost, "--resume"):
        finish(node)
    last = [out / "stage1" / "last.safetensors" for out in (whole, lost)]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_five_stages_run_in_turn(root, training_data, tmp_path):
    out = tmp_path / "out"
    finish(start_script(root, training_data, out, "--stage", "1..5", "--steps", 4))
    assert (out / "plots" / "training_losses.png").stat().st_size > 10_000
    scales = [
        load_weights(out / f"stage{number}" / "best.safetensors")[1]["config"]["scale"]
        for number in range(1, 6)
    ]
    assert scales == [2, 4, 4, 4, 4]


def test_paddle_missing_is_one_line_that_names_the_extra(root):
    program = (
        "import runpy, sys; sys.modules['paddle'] = None; sys.argv = ['train.py', '--stage', '1']\n"
        "runpy.run_path('train.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "elsr-paddle[cpu]" in done.stderr
    assert "paddlepaddle-gpu" in done.stderr
