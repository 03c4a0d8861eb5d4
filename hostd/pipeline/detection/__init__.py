"""Which plugin a source is for, by its name and its first bytes: pure, and no plugin's code runs."""

from hostd.pipeline.detection.head import Head
from hostd.pipeline.detection.memory import Memory
from hostd.pipeline.detection.ranking import Candidate, Ranking, rank

__all__ = ["Candidate", "Head", "Memory", "Ranking", "rank"]
