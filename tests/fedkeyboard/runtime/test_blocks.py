"""blocks.c, in a process of its own into which it is preloaded."""

import os
import pathlib
import subprocess
import sys
import tempfile

from fedkeyboard.runtime import preload

PRELUDE = """
import ctypes, random, threading
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
libc.realloc.argtypes, libc.realloc.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p
MB = 1 << 20

def take(size, alignment=64):
    pointer = ctypes.c_void_p()
    assert libc.posix_memalign(
        ctypes.byref(pointer), ctypes.c_size_t(alignment), ctypes.c_size_t(size)) == 0
    assert pointer.value % alignment == 0
    return pointer.value
"""


def preloaded(program):
    with tempfile.TemporaryDirectory() as directory:
        library = pathlib.Path(directory, "worker.so")
        library.write_bytes(preload.library())
        environment = dict(os.environ, LD_PRELOAD=str(library))
        subprocess.run([sys.executable, "-c", PRELUDE + program], env=environment, check=True)


def test_a_block_is_used_again_by_what_fits_it_and_by_nothing_else():
    preloaded("""
block = take(5 * MB)
libc.free(block)
assert take(9 * MB) != block
assert take(4 * MB) != block
assert take(8 * MB) == block       # A class is above a power of two, up to the next one.
assert take(4 * MB + 1) != block   # It is in use.
""")


def test_blocks_do_not_overlap_whatever_threads_do():
    preloaded("""
def work(mark):
    draw, held = random.Random(mark), []
    for _ in range(300):
        if len(held) > 5:
            block, size = held.pop(draw.randrange(len(held)))
            for at in (0, size // 2, size - 1):
                assert ctypes.c_ubyte.from_address(block + at).value == mark
            libc.free(block)
        size = int(2 ** draw.uniform(16, 24))
        block = take(size, draw.choice([64, 4096]))
        ctypes.memset(block, mark, size)
        held.append((block, size))
    done.append(mark)

done = []
threads = [threading.Thread(target=work, args=[mark]) for mark in range(1, 9)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sorted(done) == list(range(1, 9))
""")


def test_what_is_too_large_or_grows_keeps_its_contents():
    preloaded("""
block = take(129 * MB)
ctypes.memset(block, 1, 129 * MB)
libc.free(block)
block = take(MB)
ctypes.memset(block, 7, MB)
assert libc.realloc(block, MB - 1) == block
moved = libc.realloc(block, 3 * MB)
assert moved != block and ctypes.string_at(moved, MB) == b"\\7" * MB
assert take(MB) == block  # It was given back.
libc.free(moved)
""")


def test_only_touched_pages_take_memory():
    preloaded("""
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before = resident()
blocks = [take(65 * MB) for _ in range(20)]
for block in blocks: ctypes.memset(block, 1, MB)
assert resident() - before < 20 * 3 * MB, resident() - before
""")
