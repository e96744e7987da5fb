"""Who is measured, and one measured turn of each."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

from configurations import (AGGREGATE, AGGREGATE_PATH, AGGREGATED, EDITED, FILTERS, HEADERS, LUA_PHASES, LUA_SHARED,
                            NGINX, PORTCULLIS, PROXY, UPSTREAM)
from processes import Failure, Process, accepts, free_port, get

HERE = os.path.dirname(os.path.abspath(__file__))
MIB, GIB = 1 << 20, 1 << 30


class Bench:
    """The upstreams, the folder, and a way to start each contender."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.upstream_port, self.sink_port = free_port(), free_port()
        self.binaries = {"portcullis": options.binary, "baseline": options.baseline}

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def nginx_argv(self, name, http_block, modules="", master="on"):
        prefix = os.path.join(self.folder, f"{name}.d")
        os.makedirs(prefix, exist_ok=True)
        # Started as root, nginx would give its worker an account that may not read our folder.
        user = "user root root;" if os.geteuid() == 0 else ""
        text = NGINX.format(modules=modules, user=user, master=master, prefix=prefix, http=http_block)
        return [self.options.nginx, "-p", prefix, "-e", "stderr", "-c", self.write(f"{name}.conf", text)]

    def upstream(self):
        files = os.path.join(self.folder, "files")
        os.makedirs(files, exist_ok=True)
        with open(os.path.join(files, "big"), "wb") as big:
            big.truncate(GIB)
        block = UPSTREAM.format(port=self.upstream_port, payload="x" * 1024, part="x" * 200, files=files)
        process = Process("upstream", self.nginx_argv("upstream", block), self.folder, self.options.load_cores)
        return process, lambda: accepts(self.upstream_port)

    def sink(self):
        argv = [sys.executable, os.path.join(HERE, "sink.py"), str(self.sink_port)]
        process = Process("sink", argv, self.folder, self.options.load_cores)
        return process, lambda: accepts(self.sink_port)

    def contender(self, name, port, streaming="", under=(), patience=60):
        """Starts the contender `name` on its core; `under` is put before its command line (valgrind)."""
        ports = {"port": port, "upstream": self.upstream_port, "sink": self.sink_port}
        if name.startswith("nginx"):
            lua = name == "nginx-lua"
            block = PROXY.format(shared=LUA_SHARED if lua else "", phases=LUA_PHASES if lua else "",
                                 streaming=streaming, **ports)
            argv = self.nginx_argv(name, block, lua_modules() if lua else "", "off" if under else "on")
            process = Process(name, [*under, *argv], self.folder, self.options.gateway_core)
            return process.wait_until(lambda: accepts(port), patience)
        binary = self.binaries[name.partition("-")[0]]
        text = PORTCULLIS.format(filters=FILTERS if name.endswith("-filters") else "",
                                 more=AGGREGATE if name.endswith("-aggregate") else "", **ports)
        argv = [binary, "run", "-c", self.write(f"{name}.toml", text)]
        process = Process(name, [*under, *argv], self.folder, self.options.gateway_core)
        # The first run compiles the filters; later ones find them in the code cache.
        return process.wait_until(lambda: f"listening on http://127.0.0.1:{port}" in process.logged(), patience + 60)

    def check(self, name, port):
        """A contender that does not do its job is not worth measuring."""
        if name.endswith("-aggregate"):
            response, body = get(port, AGGREGATE_PATH, HEADERS)
            if response.status != 200 or body != AGGREGATED:
                raise Failure(f"{name} answered {response.status} with {body!r} instead of {AGGREGATED!r}")
            return
        response, body = get(port, "/", HEADERS)
        if response.status != 200 or len(body) != 1024:
            raise Failure(f"{name} answered {response.status} with {len(body)} bytes instead of 200 with 1024")
        _, seen = get(port, "/seen", HEADERS)
        expected = b"[portcullis][]" if name in EDITED else b"[][1]"
        if seen != expected:
            raise Failure(f"{name}: the upstream saw {seen!r} instead of {expected!r}")
        if name in EDITED:
            if response.getheader("x-served-by") != "portcullis":
                raise Failure(f"{name} did not edit the response")
            if get(port, "/", {})[0].status != 401:
                raise Failure(f"{name} let a request without a token pass")

    def wrk(self, port, seconds, path="/"):
        argv = ["taskset", "-c", self.options.load_cores, self.options.wrk, "-t1", f"-c{self.options.connections}",
                f"-d{seconds}s", "--timeout", "5s", "-s", os.path.join(self.folder, "report.lua")]
        for header, value in HEADERS.items():
            argv += ["-H", f"{header}: {value}"]
        done = subprocess.run([*argv, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=False)
        report = re.search(r"^REPORT (.*)$", done.stdout, re.M)
        if done.returncode or not report:
            raise Failure(f"wrk ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
        return json.loads(report.group(1))

    def turn(self, name):
        """One contender's turn in a round."""
        port = free_port()
        with running(self.contender(name, port)) as process:
            self.check(name, port)
            path = AGGREGATE_PATH if name.endswith("-aggregate") else "/"
            self.wrk(port, self.options.warmup, path)
            cpu, wall = process.cpu(), time.monotonic()
            report = self.wrk(port, self.options.seconds, path)
            cpu, wall = process.cpu() - cpu, time.monotonic() - wall
            if report["errors"] or not report["requests"]:
                raise Failure(f"{name}: {report['errors']} failures in {report['requests']} requests\n"
                              f"{process.logged()[-2000:]}")
            return {
                "cpu_us": cpu * 1e6 / report["requests"],
                "rps": report["requests"] * 1e6 / report["us"],
                "p99_ms": report["p99_us"] / 1000,
                "rss_mib": process.memory("VmRSS") / MIB,
                "busy": cpu / wall,
            }

    def stream(self, name, process, port, way):
        """1 GiB through a contender: down from the upstream's file, or up into the sink."""
        big = os.path.join(self.folder, "files", "big")
        argv = ["taskset", "-c", self.options.load_cores, self.options.curl, "-sS", "-w"]
        if way == "get":
            argv += ["\n%{http_code} %{time_total} %{size_download}", "-o", "/dev/null", f"http://127.0.0.1:{port}/big"]
        else:
            argv += ["\n%{http_code} %{time_total} %{size_upload}", "-X", "POST", "-T", big, "-H", "expect:",
                     f"http://127.0.0.1:{port}/sink"]
        process.forget_peak()
        before, cpu = process.memory("VmRSS"), process.cpu()
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        *body, status = done.stdout.split("\n")
        if done.returncode or (way == "post" and "".join(body) != str(GIB)) or status.split()[0] != "200" \
                or int(status.split()[2]) != GIB:
            raise Failure(f"{name} {way}: {done.stdout[-300:]!r} {done.stderr}\n{process.logged()[-2000:]}")
        return {
            "mb_per_s": GIB / float(status.split()[1]) / 1e6,
            "cpu_s": process.cpu() - cpu,
            "growth_mib": (process.memory("VmHWM") - before) / MIB,
        }


@contextlib.contextmanager
def running(process):
    """Ends the process with the block, however that ends."""
    try:
        yield process
    finally:
        process.stop()


def lua_modules():
    folder = "/usr/lib/nginx/modules"
    names = ("ndk_http_module.so", "ngx_http_lua_module.so")
    for name in names:
        if not os.path.exists(os.path.join(folder, name)):
            raise Failure(f"{folder}/{name} is not there: install libnginx-mod-http-lua, or leave nginx-lua out")
    return "\n".join(f"load_module {folder}/{name};" for name in names)
