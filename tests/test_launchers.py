"""Many machines: the launchers of Hydra give the bytes of a serial run, and a death loses nothing.

Ray and submitit are extras; where they are not installed these tests are skipped.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from experiments.collect import jobs_below
from experiments.engine.parts import PARTS

ROOT = Path(__file__).resolve().parents[1]
WORDS = [
    *("world.minerals=[gallium]", "horizon.years=1", "seeds=2", "workers=1", "full_tables=0"),
    *("membership=none", "shock.minerals=[gallium]", "shock.announced=2025-06"),
    *("shock.start=2025-06", "shock.end=", "shock.enforcement=0.5,1.0"),
]
PATIENCE = 600.0  # seconds, on a busy machine
LOOPBACK = {  # a client of Ray takes 127.0.0.1 for the address other machines see, but for this
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def sweep_command(folder: Path, *launcher: str) -> list[str]:
    words = ["-m", *launcher, *WORDS, f"hydra.sweep.dir={folder}"]
    return [sys.executable, "-m", "experiments.run", *words]


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | LOOPBACK | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)  # type: ignore[call-overload, no-any-return]


def finish(process: "subprocess.Popen[str]") -> None:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The tables of all jobs."""
    found = sorted(folder.glob("[0-9]*/*.parquet"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("serial")
    finish(start(sweep_command(folder)))
    tables = bytes_of(folder)
    assert {name.partition("/")[0] for name in tables} == {"0", "1"}
    return tables


def node() -> dict[str, object]:
    """A node's settings; ports are named, as Ray gives up on its helpers on a busy machine."""
    helpers = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in helpers]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = {f"{n}_port": s.getsockname()[1] for n, s in zip(helpers, sockets, strict=True)}
    return {
        "num_cpus": 1,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 80 * 2**20,
    } | ports


@contextmanager
def two_nodes() -> Iterator[str]:
    """A cluster of two nodes with a processor each, on this machine alone; its address."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install -e .[ray]")
    plugin = "hydra_plugins.hydra_ray_launcher.ray_launcher"
    pytest.importorskip(plugin, reason="hydra-ray-launcher is installed apart, see docs/scale.md")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=node() | {"include_dashboard": False})
    try:
        cluster.add_node(**node())
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def ray_launcher(address: str) -> tuple[str, str]:
    return "hydra/launcher=ray", f"hydra.launcher.ray.init.address='{address}'"


def task_processes() -> list[int]:
    """Processes of Ray on this machine that are doing a job of a sweep."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [process for process in found if b"_run_job" in _title(process)]


def _title(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray's own pipes
def test_ray_gives_the_same_bytes_and_survives_the_death_of_a_worker(
    tmp_path: Path, serial: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LOOPBACK.items():
        monkeypatch.setenv(name, value)
    with two_nodes() as address:
        command = start(sweep_command(tmp_path, *ray_launcher(address)))
        deadline = time.monotonic() + PATIENCE
        while not list(tmp_path.glob(f"*/{PARTS}/0*")) and time.monotonic() < deadline:
            if command.poll() is not None:
                finish(command)
            time.sleep(0.02)
        finished = list(tmp_path.glob(f"*/{PARTS}/0*"))
        assert finished, "no run was finished before the sweep ended"
        busy = task_processes()
        assert busy, "no worker was at work any more"
        os.kill(busy[0], signal.SIGKILL)
        assert all(
            path.exists() or (path.parents[1] / "manifest.json").exists() for path in finished
        )
        finish(command)
    assert [job.state for job in jobs_below(tmp_path)] == ["finished", "finished"]
    assert bytes_of(tmp_path) == serial


def test_submitit_gives_the_same_bytes(tmp_path: Path, serial: dict[str, bytes]) -> None:
    """With its executor for one machine, which shares all but the queue with Slurm's."""
    pytest.importorskip("submitit", reason="submitit is an extra: pip install -e .[slurm]")
    plugin = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
    pytest.importorskip(plugin, reason="hydra-submitit-launcher is an extra: .[slurm]")
    finish(start(sweep_command(tmp_path, "hydra/launcher=submitit_local")))
    assert bytes_of(tmp_path) == serial
