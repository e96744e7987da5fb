"""Starting, pinning, reading and ending the processes that are measured."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """Something that the reader must mend; printed without a traceback."""


class Process:
    """A process of ours, pinned, with its standard error in a file; ended with its whole group."""

    def __init__(self, name, argv, folder, cores):
        self.name, self.log = name, os.path.join(folder, f"{name}.log")
        # Should this script be killed outright, the kernel ends what it started.
        wrapped = ["taskset", "-c", cores, "setpriv", "--pdeathsig", "TERM", *argv]
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(wrapped, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True, env={**os.environ, "NO_COLOR": "1"})
        self.pid = self.popen.pid

    def logged(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def wait_until(self, ready, seconds):
        """Polls `ready` until it is true; fails with the end of the log where it never is."""
        deadline = time.monotonic() + seconds
        try:
            while not ready():
                if self.popen.poll() is not None:
                    raise Failure(f"{self.name} ended with code {self.popen.returncode}:\n{self.logged()[-2000:]}")
                if time.monotonic() > deadline:
                    raise Failure(f"{self.name} was not ready after {seconds} s:\n{self.logged()[-2000:]}")
                time.sleep(0.01)
        except BaseException:
            self.stop()
            raise
        return self

    def family(self):
        """Its id and those of its children (nginx's worker)."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [self.pid, *map(int, children.read().split())]
        return [self.pid]

    def cpu(self):
        """Seconds of processor time so far, user and system, all threads."""
        return sum(cpu_of(pid) for pid in self.family())

    def memory(self, field):
        """Bytes, from a field of /proc/PID/status: VmRSS now, VmHWM at its peak. Shared pages count once a process."""
        return sum(memory_of(pid, field) for pid in self.family())

    def forget_peak(self):
        """Sets VmHWM back to VmRSS."""
        for pid in self.family():
            with open(f"/proc/{pid}/clear_refs", "w") as refs:
                refs.write("5")

    def stop(self):
        for sign, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.pid, sign)
                self.popen.wait(patience)
        # A worker may outlive the first process of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_of(pid, field):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"^{field}:\s+(\d+) kB", status.read(), re.M).group(1)) * 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def get(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
