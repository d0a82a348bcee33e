"""Runs one server and takes everything it started down with it.

    keeper.py LOCK STOP_SIGNAL GRACE_SECONDS LOG COMMAND...

Standard input is the leash: when it closes (the owner let go, ended or was killed) the server is
asked to stop and, after the grace time, killed. The byte "k" on it kills at once.

Invariant: when this process ends, no descendant of the server is alive. Servers that put helpers in
sessions of their own (Samba does) cannot escape, because orphans are handed to the nearest
subreaper, which is this process. Deliberately absent: restarting, and any knowledge of the server.
"""

import ctypes
import fcntl
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.02
# Between SIGKILL and the disappearance of a process only the kernel works; this is far beyond that.
KILL_SECONDS_MAX = 20.0


def descendants():
    """Living processes below this one, without zombies."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found.extend(below)
        queue.extend(below)
    return found


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def reap(main, status):
    """Collects ended children; returns the exit status of the server once it is known."""
    while True:
        try:
            pid, value = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            status = value


def kill_all(main, status):
    end = time.monotonic() + KILL_SECONDS_MAX
    while time.monotonic() < end:
        send(descendants(), signal.SIGKILL)
        status = reap(main, status)
        if not descendants():
            return status
        time.sleep(POLL_SECONDS)
    sys.exit("keeper: processes do not die")


def stop(main, status, stop_signal, grace_seconds):
    end = time.monotonic() + grace_seconds
    send([main], stop_signal)
    asked = False
    while time.monotonic() < end and descendants():
        status = reap(main, status)
        if status is not None and not asked:
            # The server has ended by itself; only helpers are left.
            send(descendants(), signal.SIGTERM)
            asked = True
        time.sleep(POLL_SECONDS)
    return kill_all(main, status)


def wait(main, wake):
    """Waits for the end of the leash or of the server: ("stop" | "kill" | "ended", status)."""
    status = None
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            if signal.SIGTERM in os.read(wake, 4096):
                return "stop", status
            status = reap(main, status)
            if status is not None:
                return "ended", status
        if 0 in ready:
            return ("kill" if os.read(0, 1) == b"k" else "stop"), status


def main():
    lock, stop_signal, grace_seconds, log = sys.argv[1:5]
    command = sys.argv[5:]
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("keeper: the kernel refuses PR_SET_CHILD_SUBREAPER")
    # Shared with the owner: the address stays taken until the last of both has ended.
    held = open(lock, "rb")
    fcntl.flock(held, fcntl.LOCK_SH)

    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    pid = os.fork()
    if pid == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"keeper: {command[0]}: {error}\n".encode())
        os._exit(127)

    why, status = wait(pid, wake)
    if why == "stop":
        status = stop(pid, status, int(stop_signal), float(grace_seconds))
    else:
        status = kill_all(pid, status)
    sys.exit(0 if why != "ended" else max(1, os.waitstatus_to_exitcode(status)))


main()
