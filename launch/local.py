"""Start one command as several processes on this machine, as one JAX job.

    python launch/local.py --processes 2 -- copgen train backbone --config tiny --latents world --out RUN

Each process gets JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. SIGTERM and SIGINT are passed on. Ends
with the first exit code that is not 0, after ending the others; with 0 when all do.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time


def main() -> int:
    """Start the processes and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--grace", type=float, default=60.0, help="seconds that the others have when one has failed")
    parser.add_argument("command", nargs="+", help="after --")
    arguments = parser.parse_args()
    address = f"127.0.0.1:{free_port()}"
    children = [start(arguments.command, address, arguments.processes, i) for i in range(arguments.processes)]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: [child.send_signal(number) for child in children])
    return wait(children, arguments.grace)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command: list[str], address: str, processes: int, number: int) -> subprocess.Popen:
    """One process of the job."""
    job = {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(processes),
        "JAX_PROCESS_ID": str(number),
    }
    return subprocess.Popen(command, env={**os.environ, **job})


def wait(children: list[subprocess.Popen], grace: float) -> int:
    """Until all have ended; a failure ends the rest."""
    code, deadline = 0, None
    while any(child.poll() is None for child in children):
        failed = [child.returncode for child in children if child.returncode]
        if failed and deadline is None:
            code, deadline = failed[0], time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                if child.poll() is None:
                    child.kill()
        time.sleep(0.05)
    return code or next((child.returncode for child in children if child.returncode), 0)


if __name__ == "__main__":
    sys.exit(main())
