"""The commands of the README: they exist, compose, and the quick ones run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from test_run import configuration

from abm.config import check
from experiments.run import arranged, main, stray_settings

ROOT = Path(__file__).resolve().parents[1]
RUN = ["python", "-m", "experiments.run"]
# Options that show something instead of running; a value follows --cfg.
SHOWS = ("--help", "--cfg")


def commands() -> list[str]:
    """Command lines of the README's code blocks, continued lines joined, prompts taken off."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```(?:\w*)\n(.*?)^ *```", readme, flags=re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    return [line for line in lines if re.match(r"(make|[\w./]*python\S*) ", line)]


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return ["python", *words[1:]] if Path(words[0]).name.startswith("python") else words


def run_settings() -> list[list[str]]:
    """The words that each line of the README passes on to the experiment, `make run` included."""
    found = [words[3:] for words in map(words_of, commands()) if words[:3] == RUN]
    for words in map(words_of, commands()):
        if words[:2] == ["make", "run"]:
            found += [shlex.split(w.removeprefix("ARGS=")) for w in words if w.startswith("ARGS=")]
    return found


def single_jobs(words: list[str]) -> list[list[str]]:
    """The overrides of every job: a sweep's values are tried one at a time."""
    jobs: list[list[str]] = [[]]
    sweep = "-m" in words or "--multirun" in words
    for word in words:
        if word.startswith("-") or "=" not in word:
            continue
        name, _, value = word.partition("=")
        values = value.split(",") if sweep and not value.startswith("[") else [value]
        jobs = [[*job, f"{name}={one}"] for job in jobs for one in values]
    return jobs


def test_readme_has_the_two_commands() -> None:
    lines = [words_of(line)[:2] for line in commands()]
    assert ["make", "run"] in lines
    assert ["make", "test"] in lines
    assert run_settings() != [], "no example of the command line"


def test_make_commands_name_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, flags=re.MULTILINE))
    for line in commands():
        program, *words = words_of(line)
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, line
            assert {word.partition("=")[0] for word in words if "=" in word} <= variables, line


def test_run_commands_compose() -> None:
    for words in run_settings():
        arranged(words)
        for job in single_jobs(words):
            config = configuration(*job)
            assert list(stray_settings(config)) == [], job
            check(config)
            for folder in config.world.tables:
                assert (ROOT / folder).is_dir(), f"{job}: there is no folder {folder}"


def test_modules_named_exist() -> None:
    for line in commands():
        words = words_of(line)
        if words[:2] == ["python", "-m"] and words[2].startswith(("experiments", "abm")):
            path = ROOT / words[2].replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), line


@pytest.mark.skipif(
    not any(option in words for words in run_settings() for option in SHOWS),
    reason="the README shows no such command",
)
def test_quick_commands_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of each kind; they are answered before the model is called."""
    quick = {next(o for o in SHOWS if o in w): w for w in run_settings() if set(w) & set(SHOWS)}
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # set by main, so put back at the end
    for words in quick.values():
        monkeypatch.setattr(sys, "argv", ["run", *words])
        try:
            code = main()
        finally:
            GlobalHydra.instance().clear()
        said, complained = capsys.readouterr()
        assert (code, complained) == (0, ""), words
        assert "shock:" in said


def test_make_help_runs() -> None:
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "make run" in done.stdout
