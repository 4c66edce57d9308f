"""The end of a sweep: the command fails if one of its jobs has, wherever that was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from experiments.command import MISUSE
from experiments.engine.parts import FAILURE


class FailedJobs(Callback):
    """Called by Hydra where the command was given; jobs have left a note of their failure."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End with the exit code of a refusal if a job of the sweep has failed."""
        if any(Path(config.hydra.sweep.dir).glob(f"*/{FAILURE}")):
            raise SystemExit(MISUSE)
