"""The studies by the question they answer."""

from __future__ import annotations

from collections.abc import Callable

from abm.config import Config, Question
from abm.world import World
from experiments.accession.study import accession_study
from experiments.hindcast import hindcast_study
from experiments.pathways.study import pathways_study
from experiments.phase.study import phase_study
from experiments.resilience.study import resilience_study
from experiments.sensitivity.study import sensitivity_study
from experiments.studies.instruments import instruments_study
from experiments.studies.mechanisms import mechanisms_study
from experiments.studies.standoff import standoff_study
from experiments.study import Study

STUDIES: dict[Question, Callable[[Config, World], Study]] = {
    Question.instruments: instruments_study,
    Question.standoff: standoff_study,
    Question.mechanisms: mechanisms_study,
    Question.hindcast: hindcast_study,
    Question.sensitivity: sensitivity_study,
    Question.pathways: pathways_study,
    Question.phase: phase_study,
    Question.resilience: resilience_study,
    Question.accession: accession_study,
}
