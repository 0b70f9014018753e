"""Paddle's data loader: errors that reach the trainer, workers that end with it, pipes that are closed."""

from __future__ import annotations

import ctypes
import gc
import shutil
import signal
import sys

from paddle.base import core
from paddle.io.dataloader import dataloader_iter, worker

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.host.patching import replace, wrap
from paddleseg_ext.host.registry import repair


@repair(
    "an error while reading a sample leaves the trainer waiting for ever (num_workers 0) or is lost (workers), "
    "and so is the cause of a worker's death",
    "not fixed in Paddle 3.3 (io/dataloader/dataloader_iter.py)",
)
def data_loader_errors_reach_the_trainer():
    def keep_the_error(original, self, *args):
        try:
            original(self, *args)
        except Exception as error:
            self.reader_error = error
            self._exit_thread_unexpectedly()

    def worker_died(cause, out_of_shared_memory):
        if out_of_shared_memory:
            megabytes = shutil.disk_usage("/dev/shm").total >> 20
            return UserError(
                f"num_workers: the shared memory /dev/shm is full ({megabytes} MB): enlarge it (docker run --shm-size "
                "8g), or lower num_workers or batch_size"
            )
        return UserError(
            f"num_workers: {cause}: if memory ran out (see dmesg), lower num_workers or batch_size; num_workers 0 "
            "shows its error"
        )

    def first_dead(workers):
        for process in workers:
            code = process.exitcode
            if code:
                cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
                return worker_died(f"the data worker {process.pid} {cause}", code == -signal.SIGBUS)
        return None

    def explain_dead_worker(original):  # from a signal handler, wherever the trainer is at that moment
        try:
            original()
        except SystemError as error:
            raise worker_died(one_line(error), "/dev/shm" in str(error)) from error

    def raise_the_error(original, self):
        try:
            return original(self)
        except SystemError:  # the queue between the threads was closed
            error = getattr(self, "reader_error", None) or first_dead(getattr(self, "_workers", ()))
            if error is None:
                raise
            if hasattr(self, "_try_shutdown_all"):
                self._try_shutdown_all()
            raise error from None

    for loader in (dataloader_iter._DataLoaderIterSingleProcess, dataloader_iter._DataLoaderIterMultiProcess):
        wrap(loader, "_thread_loop", keep_the_error)
        wrap(loader, "__next__", raise_the_error)
    wrap(core, "_throw_error_if_process_failed", explain_dead_worker)


@repair(
    "data workers of a trainer that was killed wait for it for ever, since they pass a timeout as `block`",
    "not fixed in Paddle 3.3 (io/dataloader/worker.py)",
    useful=sys.platform == "linux",
)
def data_workers_end_with_the_trainer():
    def end_with_the_parent(original, *args, **kwargs):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        original(*args, **kwargs)

    wrap(worker, "_worker_loop", end_with_the_parent)  # where workers started by `spawn` look it up by name
    replace(dataloader_iter, "_worker_loop", worker._worker_loop)


@repair(
    "every epoch with data workers leaves its pipes open, in reference cycles that are rarely collected",
    "not fixed in Paddle 3.3 (io/dataloader/dataloader_iter.py)",
)
def pipes_of_the_last_epoch():
    def close_them_first(original, self, *args):
        gc.collect()
        original(self, *args)

    wrap(dataloader_iter._DataLoaderIterMultiProcess, "__init__", close_them_first)
