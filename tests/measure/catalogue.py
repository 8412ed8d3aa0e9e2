#!/usr/bin/env python3
"""Measures what the embedded catalogue costs a function: size of the binary and time until it asks for its first event.

Builds client-registration twice in release (with the catalogue and with an empty one), then starts the two in turn against
a stand-in for the Lambda runtime API. Ratios of one run on one machine count; the milliseconds are that machine's.

    python3 tests/measure/catalogue.py [starts]
"""

import http.server
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUNCTION = "client-registration"
NEXT = "/2018-06-01/runtime/invocation/next"


def build(source: pathlib.Path | None, to: pathlib.Path) -> pathlib.Path:
    env = dict(os.environ)
    env.pop("GRANTKEEPER_PROVIDERS_SOURCE", None)
    if source:
        env["GRANTKEEPER_PROVIDERS_SOURCE"] = str(source)
    print(f"building {FUNCTION} ({'empty catalogue' if source else 'catalogue'}), some minutes", flush=True)
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", FUNCTION], cwd=ROOT, env=env, check=True)
    return pathlib.Path(shutil.copy(ROOT / "target" / "release" / FUNCTION, to))


class Runtime(http.server.BaseHTTPRequestHandler):
    """The runtime API, as far as a function that is never given an event sees it."""

    asked: list[float] = []

    def do_GET(self):  # noqa: N802: the name is the protocol's
        if self.path == NEXT:
            Runtime.asked.append(time.perf_counter())
            time.sleep(1)

    def log_message(self, *_):
        pass


def start(binary: pathlib.Path, port: int) -> float:
    env = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "x",
        "AWS_LAMBDA_LOG_STREAM_NAME": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GRANTKEEPER_PUBLIC_URL": "https://broker.example",
        "GRANTKEEPER_TABLE": "x",
        "GRANTKEEPER_ROOT_KEY": "x",
    }
    Runtime.asked.clear()
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not Runtime.asked:
            if process.poll() is not None or time.perf_counter() - began > 10:
                raise SystemExit(f"{binary.name} did not ask for an event")
            time.sleep(0.0002)
        return (Runtime.asked[0] - began) * 1000
    finally:
        process.kill()
        process.wait()


def main() -> None:
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as directory:
        empty = pathlib.Path(directory) / "empty"
        empty.mkdir()
        variants = {
            "without": build(empty, pathlib.Path(directory) / "without"),
            "with": build(None, pathlib.Path(directory) / "with"),
        }
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        times: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(starts):
            for name, binary in variants.items():
                times[name].append(start(binary, server.server_port))
            print(f"\rstart {number + 1} of {starts}", end="", flush=True)
        print()
        sizes = {name: binary.stat().st_size for name, binary in variants.items()}
        print("| catalogue | binary (bytes) | start, median (ms) | fastest | slowest |\n|---|---|---|---|---|")
        for name in variants:
            of = sorted(times[name])
            print(f"| {name} | {sizes[name]} | {statistics.median(of):.2f} | {of[0]:.2f} | {of[-1]:.2f} |")
        medians = {name: statistics.median(of) for name, of in times.items()}
        print(f"ratio with / without: size {sizes['with'] / sizes['without']:.4f}, start {medians['with'] / medians['without']:.3f}")


if __name__ == "__main__":
    main()
