"""Tools in processes of their own, forked from one that has PaddleSeg loaded already, since that takes seconds."""

import multiprocessing
import os
import runpy
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / "tools"
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["paddleseg.core", "paddleseg_ext"])


def start(log, name, *flags):
    """Start tools/<name>.py as a script; what it prints goes to the end of the file `log`."""
    return start_function(log, run_script, str(TOOLS / f"{name}.py"), *map(str, flags))


def start_function(log, function, *arguments):
    """Start a function of a module's top level; `log` as of `start`."""
    process = FORKING.Process(target=printing_to, args=(str(log), function, *arguments))
    process.start()
    return process


def run_script(path, *flags):
    sys.argv = [path, *flags]
    runpy.run_path(path, run_name="__main__")


def printing_to(log, function, *arguments):
    os.setsid()  # see `survivors`
    multiprocessing.set_start_method("fork", force=True)  # of data workers: as where the tool is started anew
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        stream.reconfigure(line_buffering=True)
    function(*arguments)


def finish(process, seconds=300):
    """Wait for its end; returns its exit status."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"still running after {seconds} s")
    return process.exitcode


def in_forked_process(threads, function, *args):
    """In the place of `benchmarks.measuring.in_fresh_process` where neither speed nor memory matters."""
    with ProcessPoolExecutor(1, mp_context=FORKING) as pool:
        return pool.submit(function, *args).result()


def tool(folder, name, *flags, status=0):
    """Run tools/<name>.py; returns what it printed, by way of a file in `folder`."""
    log = folder / f"{name}.log"
    log.unlink(missing_ok=True)
    ended = finish(start(log, name, *flags))
    told = log.read_text()
    assert ended == status, told[-3000:]
    return told


def survivors(process):
    """The processes that it started and that run on after its end."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == process.pid and state != "Z":
            found.append(path.parent.name)
    return found
