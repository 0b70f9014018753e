"""A thousand iterations with data workers, and workers that die, through PaddleSeg's trainer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.io.dataloader import dataloader_iter
from paddleseg.core import train
from process_support import finish, start_function
from test_trainer import FailingLoss, Network, Noise


class Pictures(Noise):
    def __init__(self, case):
        super().__init__(40)  # 20 iterations an epoch, each with new workers
        self.case = case

    def __getitem__(self, index):
        if self.case == "killed" and index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.case == "large":
            return {"img": np.zeros((3, 1000, 1000), "float32"), "label": np.zeros((1000, 1000), "int64")}
        return super().__getitem__(index)


class Watch(FailingLoss):
    """Tells the memory and the open files of this process every fifty iterations."""

    def forward(self, logits, labels):
        if self.iteration % 50 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print("watch", pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd")))
        return super().forward(logits, labels)


def training(case, iterations, save_dir):
    dataloader_iter.MP_STATUS_CHECK_INTERVAL = 0.5  # seconds for which the thread of a past epoch keeps its pipes open
    network = Network()
    train(
        network,
        Pictures(case),
        optimizer=paddle.optimizer.SGD(0.1, parameters=network.parameters()),
        save_dir=save_dir,
        losses={"types": [Watch(at=0)], "coef": [1]},
        iters=int(iterations),
        batch_size=2,
        save_interval=1000,
        num_workers=2,
    )


def run(case, iterations, save_dir):
    """Its exit status and what it printed."""
    log = save_dir / "log.txt"
    status = finish(start_function(log, training, case, iterations, str(save_dir / "output")))
    return status, log.read_text()


@pytest.mark.slow
def test_memory_and_files_do_not_grow(tmp_path, record_property):
    status, told = run("long", 1000, tmp_path)
    assert status == 0, told[-2000:]
    watched = [tuple(map(float, line.split()[1:])) for line in told.splitlines() if line.startswith("watch")]
    memory, files = zip(*watched)
    assert len(watched) == 20
    early, late = max(memory[4:8]), max(memory[-4:])
    assert late < early + 10, f"{early:.0f} MB, later {late:.0f} MB"
    # 12 of each epoch's loader, which Python may collect some epochs later; between the two there are thirty epochs
    assert max(files[-4:]) <= max(files[4:8]) + 3 * 12, files
    record_property("cases", 1000)


@pytest.mark.slow
def test_a_killed_worker_is_told(tmp_path):
    status, told = run("killed", 20, tmp_path)
    told = told.splitlines()[-1]
    assert status == 1 and "UserError: num_workers: " in told and "kill" in told.lower()
    assert told.endswith("lower num_workers or batch_size; num_workers 0 shows its error")


@pytest.mark.slow
def test_full_shared_memory_is_told(tmp_path):
    small = "mount -t tmpfs -o size=8m tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", small], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small /dev/shm")
    program = f"from test_long_runs import training; training('large', 20, {str(tmp_path)!r})"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{small}; exec "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "UserError: " in line]
    assert len(told) == 1 and "num_workers: the shared memory /dev/shm is full (8 MB): enlarge it" in told[0]
