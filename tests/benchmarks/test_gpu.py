"""The benchmark of one GPU: what it measures and when it ends; on a CPU with tiny networks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, result_file
from benchmarks.breakdown import operations

ROOT = Path(__file__).parents[2]


def test_results_of_a_gpu_lie_beside_those_of_a_cpu():
    assert result_file("backbone", "cpu") == "backbone.json"
    assert result_file("backbone", "gpu") == "backbone.gpu.json"


def test_every_piece_of_work_is_measured_once_and_operations_are_known():
    works = [work for stage, _ in gpu._stages(gpu.STANDARD) for work in stage.items()]
    assert len(dict(works)) == len(works)
    assert all(gpu._flops(work) > 0 for _, work in works)
    assert {"train", "forward", "sample", "encode", "decode", "matmul"} == {work.task for _, work in works}


def test_of_a_device_only_what_ran_in_its_streams_counts():
    events = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "/device:GPU:0"}},
        {"ph": "M", "pid": 2, "name": "process_name", "args": {"name": "/host:CPU"}},
        {"ph": "M", "pid": 1, "tid": 7, "name": "thread_name", "args": {"name": "Stream #7(Compute)"}},
        {"ph": "M", "pid": 1, "tid": 8, "name": "thread_name", "args": {"name": "XLA Modules"}},
        {"ph": "X", "pid": 1, "tid": 7, "name": "nvjet_hsh", "dur": 2000.0, "args": {"hlo_op": "custom-call.3"}},
        {"ph": "X", "pid": 1, "tid": 7, "name": "MemcpyD2D", "dur": 500.0},
        {"ph": "X", "pid": 1, "tid": 8, "name": "jit_step", "dur": 9000.0},
        {"ph": "X", "pid": 2, "tid": 3, "name": "Thunk", "dur": 9000.0, "args": {"hlo_op": "custom-call.3"}},
    ]
    assert list(operations(events, on_device=True)) == [("custom-call.3", 2.0), ("MemcpyD2D", 0.5)]
    assert list(operations(events[-1:], on_device=True)) == []
    assert list(operations(events[-1:], on_device=False)) == [("custom-call.3", 9.0)]


def quick(tmp_path, seconds):
    command = [sys.executable, "-m", "benchmarks", "gpu", "--quick", "--seconds", seconds, "--out", str(tmp_path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_nothing_in_no_time(tmp_path):
    done = quick(tmp_path, "0.5")
    assert done.returncode == 2
    assert "nothing was measured within" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_there_when_the_time_is_over_is_kept(tmp_path):
    done = quick(tmp_path, "40")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert record["rows"][0]["task"] == "matmul"
    assert all(set(row) == set(record["rows"][0]) for row in record["rows"])
