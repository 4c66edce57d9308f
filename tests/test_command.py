"""Wrong words to the commands that are no runs: one plain sentence, exit code 2, no usage."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as core
from benchmarks import model, stress
from experiments import calibrate, collect, gallery, shares
from experiments.figures import again

COMMANDS: dict[str, Callable[[Sequence[str]], object]] = {
    "benchmarks": core.main,
    "benchmarks.model": model.main,
    "benchmarks.stress": stress.main,
    "experiments.calibrate": calibrate.main,
    "experiments.collect": collect.main,
    "experiments.figures": again.main,
    "experiments.gallery": gallery.main,
    "experiments.shares": shares.main,
}


def refused(command: str, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        COMMANDS[command](words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1, "one sentence on one line"
    assert "usage" not in err
    assert err.endswith(".\n")
    return err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_word_that_a_command_does_not_know_is_answered_in_a_sentence(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["results"] if command == "experiments.collect" else []
    said = refused(command, [*folder, "--speed=9"], capsys)
    assert said == f"There is no '--speed=9'; see python -m {command} --help.\n"


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("benchmarks", ["--seed", "x"], "--seed is 'x', which is no whole number; see"),
        ("benchmarks", ["--seed", "-1"], "--seed is -1; give 0 or more."),
        ("benchmarks", ["--seed"], "--seed is given no value; see python -m benchmarks --help."),
        ("benchmarks", ["--quick=2"], "--quick takes no value, but is given '2'; see"),
        ("benchmarks", ["--only", "speed"], "--only names no benchmark with 'speed'; choose"),
        ("benchmarks", ["--quick", "--document"], "--document takes a full run; leave out"),
        ("benchmarks.model", ["--see", "3"], "There is no '--see 3'; see"),
        ("benchmarks.stress", ["--markets", "0"], "--markets is 0; give 1 or more."),
        ("experiments.calibrate", ["--workers", "two"], "--workers is 'two', which is no whole"),
        ("experiments.calibrate", ["--episodes"], "--episodes is given no value; see"),
        ("experiments.collect", [], "The word for folder is missing; see"),
    ],
)
def test_wrong_words_are_named_with_their_cure(
    command: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(command, words, capsys).startswith(said)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for word in (tmp_path / "file", tmp_path / "file" / "deeper"):
        said = refused("benchmarks.model", ["--folder", str(word)], capsys)
        assert said == (
            f"--folder is '{word}', but '{tmp_path / 'file'}' is a file; give a folder.\n"
        )
    assert not (tmp_path / "new").exists()
    assert core.options(["--folder", str(tmp_path / "new")]).folder == tmp_path / "new"
