"""From cells to answers: every registered analysis of a study becomes rows of the estimates table."""

from p4equity.evaluation.plan import evaluate

__all__ = ["evaluate"]
