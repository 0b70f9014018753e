"""What the tests of hostile files share: how files are damaged, and that a reader gets over it."""

import gc
import os
import resource
import struct
import time
import traceback
import zlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddleseg_ext.command import UserError

SECONDS = 3  # of processor time that a refusal may take; most take milliseconds
EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", 60))  # of damage; tests/reliability.py asks for more
fuzzed = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def damages(size):
    """Ways to damage a file of `size` bytes: cut it short, or set some bytes."""
    places = st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), min_size=1, max_size=8)
    return st.tuples(st.integers(0, size - 1), st.just([])) | st.tuples(st.just(size), places)


def damage(content, how):
    end, places = how
    damaged = bytearray(content)
    for place, value in places:
        damaged[place] = value
    return bytes(damaged[:end])


def for_each_damage(path, content, check):
    """Call `check` for `EXAMPLES` ways to damage `content`, each of them written to `path`."""

    @fuzzed
    @given(damages(len(content)))
    def damaged(how):
        path.write_bytes(damage(content, how))
        check()

    damaged()


def png_with_size(width, height):
    """A small PNG file whose header lies about its size."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def reads_or_refuses(read, path, errors=UserError):
    """What `read(path)` gives, or its error: one line that names the file. It is quick and writes nothing."""
    before = set(path.parent.rglob("*"))
    started = time.process_time()
    try:
        result = read(str(path))
    except errors as error:
        assert len(str(error).splitlines()) == 1 and path.name in str(error), error
        result = error
    assert time.process_time() - started < SECONDS
    assert set(path.parent.rglob("*")) == before
    return result


def in_little_memory(work, megabytes=200):
    """Whether `work()` is true in a process that can take no more than `megabytes` beyond what this one has."""
    child = os.fork()
    if child == 0:
        status = 2
        gc.disable()  # what earlier tests left of Paddle's would wait for threads that this process does not have
        try:
            with open("/proc/self/statm") as file:
                pages = int(file.read().split()[0])
            limit = pages * resource.getpagesize() + (megabytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            status = 0 if work() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
