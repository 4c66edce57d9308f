"""Worker processes end with the command, however it ends, and give back what runs held."""

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

from test_run import configuration

from experiments.engine.workers import let_go, start_workers
from experiments.ensemble import rehearse

ROOT = Path(__file__).parent.parent
COMMAND = """
import os, time
from experiments.engine.workers import start_workers
if __name__ == "__main__":
    with start_workers(2) as workers:
        print(workers.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and is not yet buried does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_workers_end_when_the_command_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    command = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert command.stdout is not None
    with command.stdout:
        worker = int(command.stdout.readline())
        assert alive(worker)
        command.send_signal(signal.SIGKILL)
        command.wait()
    deadline = time.monotonic() + 60.0
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


class Ring:
    """Something that names itself, as a model and its agents do."""

    def __init__(self) -> None:
        self.me = self


def ring_is_gone() -> bool:
    gc.disable()
    try:
        seen = weakref.ref(Ring())
        let_go()
        return seen() is None
    finally:
        gc.enable()


def test_finished_runs_are_let_go_in_worker_processes() -> None:
    with start_workers(2) as workers:
        assert workers.submit(ring_is_gone).result()
    assert not ring_is_gone()


def test_a_month_without_a_market_balances() -> None:
    """It is what one of several processes compiles by, before the first run."""
    rehearse(configuration("world.minerals=[gallium]", "shock.minerals=[gallium]"))
