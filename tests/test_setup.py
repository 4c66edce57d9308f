"""The set-up: which interpreter is found, when the environment is made, and what is pinned.

The interpreters here are short shell scripts: one that works writes down what it is asked to do,
one that fails does so only when it is executed, like the shim of a version manager.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FINDER = ROOT / ".ci" / "find-python"
# Tools that the finder and the Makefile call besides Python.
TOOLS = [
    "sh",
    "awk",
    "cat",
    "cp",
    "cut",
    "echo",
    "find",
    "head",
    "make",
    "mkdir",
    "mv",
    "rm",
    "sort",
    "test",
    "touch",
]


def script(path: Path, body: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def real_python(path: Path) -> Path:
    return script(path, f'exec "{sys.executable}" "$@"')


def failing_shim(path: Path) -> Path:
    return script(path, f'echo "{path.name}: command not found" >&2\nexit 127')


def too_old(path: Path) -> Path:
    """An interpreter that runs, but takes itself for 3.11."""
    claim = path.with_name(f"{path.name}_claim.py")
    script(
        path,
        f'[ "$1 $2" = "-I -c" ] || exit 1\nexec "{sys.executable}" -I "{claim}" "$3"',
    )
    claim.write_text(
        "import sys\n"
        "class Version(tuple):\n"
        "    releaselevel = 'final'\n"
        "sys.version_info = Version((3, 11, 9))\n"
        "exec(sys.argv[1])\n"
    )
    return path


def stub_version(path: Path, version: str) -> Path:
    """An interpreter whose answer to the finder is the version given."""
    return script(path, f'echo "{version}"')


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment variables of a machine with a shell, make and no Python at all."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    return {"PATH": f"{tmp_path / 'bin'}:{tools}", "HOME": str(tmp_path / "home")}


def find_python(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("sh") or "sh", str(FINDER)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_finder_takes_the_newest_name_that_works(machine: dict[str, str], tmp_path: Path) -> None:
    failing_shim(tmp_path / "bin" / "python3.14")
    real_python(tmp_path / "bin" / "python3")
    expected = real_python(tmp_path / "bin" / "python3.13")
    assert find_python(machine).stdout.strip() == str(expected)


def test_finder_looks_behind_a_shim_of_the_same_name(
    machine: dict[str, str], tmp_path: Path
) -> None:
    failing_shim(tmp_path / "bin" / "python3.12")
    expected = real_python(tmp_path / "system bin" / "python3.12")
    machine["PATH"] += f":{expected.parent}"
    assert find_python(machine).stdout.strip() == str(expected)


def test_finder_takes_the_newest_that_a_version_manager_keeps(
    machine: dict[str, str], tmp_path: Path
) -> None:
    for name in ("python3.13", "python3.12"):
        failing_shim(tmp_path / "bin" / name)
    too_old(tmp_path / "bin" / "python3")
    versions = tmp_path / "home" / ".pyenv" / "versions"
    failing_shim(versions / "3.99.0" / "bin" / "python3")
    stub_version(versions / "3.12.9" / "bin" / "python3", "3 12 9")
    expected = stub_version(versions / "3.12.10" / "bin" / "python3", "3 12 10")
    assert find_python(machine).stdout.strip() == str(expected)

    elsewhere = tmp_path / "elsewhere"
    expected = real_python(elsewhere / "versions" / "mine" / "bin" / "python3")
    machine["PYENV_ROOT"] = str(elsewhere)
    assert find_python(machine).stdout.strip() == str(expected)


@pytest.mark.parametrize("unusable", [failing_shim, too_old])
def test_finder_says_in_one_sentence_what_to_install(
    unusable: Callable[[Path], Path], machine: dict[str, str], tmp_path: Path
) -> None:
    unusable(tmp_path / "bin" / "python3")
    answer = find_python(machine)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert len(answer.stderr.splitlines()) == 1
    assert "needs Python 3.12 or newer" in answer.stderr
    assert "install" in answer.stderr


def test_finder_honours_the_override(machine: dict[str, str], tmp_path: Path) -> None:
    real_python(tmp_path / "bin" / "python3.13")
    mine = real_python(tmp_path / "mine" / "python")
    assert find_python(machine | {"PYTHON": str(mine)}).stdout.strip() == str(mine)

    shim = failing_shim(tmp_path / "bin" / "python3.12")
    refused = find_python(machine | {"PYTHON": str(shim)})
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"PYTHON={shim} is not a working Python")


class Checkout:
    """A copy of the set-up files, and a Python that only writes down what it is asked to do."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.log = folder.parent / "log"
        (folder / ".ci").mkdir(parents=True)
        for name in (".ci/find-python", "Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder / name)
        script(
            folder.parent / "bin" / "python3.12",
            'case "$*" in\n'
            '"-I -c "*) echo "3 12 0"; exit 0;;\n'
            '"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;\n'
            f'esac\necho "$*" >> "{self.log}"\n'
            'case "$*" in *" -e "*) [ -z "${OFFLINE:-}" ];; esac',
        )

    def make(self, *words: str, **variables: str) -> tuple[int, list[str], str]:
        """Exit code, what Python was asked to do (shortened) and what was said."""
        self.log.unlink(missing_ok=True)
        done = subprocess.run(
            [shutil.which("make") or "make", *words],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        asked = ["install" if " pip install " in call else call for call in calls]
        return done.returncode, list(dict.fromkeys(asked)), done.stdout + done.stderr


@pytest.fixture
def checkout(machine: dict[str, str], tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "check out", machine)


RUN = "-m experiments.run"
AFRESH = ["-m venv .venv", "install", RUN]


def test_second_run_installs_nothing(checkout: Checkout) -> None:
    code, asked, said = checkout.make("run", "ARGS=seeds=32 -m")
    assert (code, asked) == (0, ["-m venv .venv", "install", f"{RUN} seeds=32 -m"]), said
    assert checkout.make("run") == (0, [RUN], "")


def test_changed_pins_are_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.make("run")
    later = (checkout.folder / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout.folder / "constraints.txt", (later, later))
    assert checkout.make("run")[1] == ["install", RUN]


def test_unusable_environment_is_made_again(checkout: Checkout) -> None:
    checkout.make("run")
    failing_shim(checkout.folder / ".venv" / "bin" / "python")
    assert checkout.make("run")[:2] == (0, AFRESH), "its interpreter has gone"

    (checkout.folder / ".venv" / ".installed").unlink()
    assert checkout.make("run")[:2] == (0, AFRESH), "it was half made"

    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert checkout.make("run")[:2] == (0, AFRESH), "its checkout was moved"


def test_failed_installation_leaves_nothing_that_counts_as_made(checkout: Checkout) -> None:
    code, asked, said = checkout.make("run", OFFLINE="yes")
    assert (code, asked) == (2, ["-m venv .venv", "install"])
    assert "The installation failed" in said
    assert checkout.make("run")[:2] == (0, AFRESH)


def test_make_without_python_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bin" / "python3.12").unlink()
    code, _, said = checkout.make("run")
    assert code == 2
    assert said.startswith("Chokepoint needs Python 3.12 or newer")


def test_clean_spares_results(checkout: Checkout) -> None:
    checkout.make("run")
    result = checkout.folder / "results" / "__pycache__" / "kept"
    cache = checkout.folder / "abm" / "__pycache__" / "gone"
    for file in (result, cache):
        file.parent.mkdir(parents=True)
        file.touch()
    assert checkout.make("clean") == (0, [], "")
    assert result.exists()
    assert not cache.exists()
    assert not (checkout.folder / ".venv").exists()


def test_bench_and_stress_pass_their_options_on(checkout: Checkout) -> None:
    checkout.make("run")
    assert checkout.make("bench", "ARGS=--quick") == (0, ["-m benchmarks --quick"], "")
    model = ["-m benchmarks.model --only month"]
    assert checkout.make("bench-model", "ARGS=--only month") == (0, model, "")
    stress = ["-m benchmarks.stress --markets 300"]
    assert checkout.make("stress", "ARGS=--markets 300") == (0, stress, "")


def test_help_lists_every_target(checkout: Checkout) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE)) - {"new-venv"}
    assert targets >= {"help", "run", "test", "lint", "bench", "figures", "clean"}
    code, asked, said = checkout.make("help")
    assert (code, asked) == (0, [])
    assert {line.split()[1] for line in said.splitlines()} == targets
    assert all(len(line.split()) > 3 for line in said.splitlines()), "a target has no sentence"
    assert checkout.make() == (code, asked, said), "help is what a bare make shows"


def pins() -> dict[str, str]:
    """Canonical name -> version of each line of constraints.txt that is not a comment."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "a line is not name==version"
    return {canonicalize_name(name): version for name, version in pairs}


def test_constraints_name_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert re.findall(r"://|(?m:^\s*-)|\s@\s|index|simple/", text) == []


def test_pins_satisfy_every_requirement_of_the_project() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    project = settings["project"]
    extras = project["optional-dependencies"]
    wanted = settings["build-system"]["requires"] + project["dependencies"]
    wanted += [line for extra in extras.values() for line in extra]
    pinned = pins()
    for requirement in map(Requirement, wanted):
        if requirement.name == project["name"]:  # an extra that draws in another
            assert requirement.extras <= extras.keys(), requirement
            continue
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_everything_the_project_draws_in_is_pinned() -> None:
    """Walks the installed packages from the pinned ones: whatever they require is pinned too."""
    pinned = pins()
    installed = {canonicalize_name(found.name) for found in metadata.distributions()}
    for name in installed & pinned.keys():
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in pinned, f"{name} needs {needed}"
