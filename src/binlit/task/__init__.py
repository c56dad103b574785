"""What is learned: the LightningModules."""

from binlit.task.classification import Classification
from binlit.task.few_shot import FewShot
from binlit.task.learning import Learning

__all__ = ["Classification", "FewShot", "Learning"]
