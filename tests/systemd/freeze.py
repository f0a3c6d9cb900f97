"""Stops single threads of a process: `python freeze.py PID NAME` stops those whose name begins with NAME, until they have
ended or this program has. The others go on, which a signal could not do: so a data path is blocked while the rest of the
program lives."""

import ctypes
import os
import pathlib
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


stopped = 0
for task in pathlib.Path(f"/proc/{sys.argv[1]}/task").iterdir():
    if (task / "comm").read_text().startswith(sys.argv[2]):
        ptrace(PTRACE_SEIZE, int(task.name))
        ptrace(PTRACE_INTERRUPT, int(task.name))
        stopped += 1
print(stopped, flush=True)
try:
    while True:
        os.waitpid(-1, WALL)  # A thread that was killed is gone only when its tracer knows.
except ChildProcessError:
    pass
