"""What is learned: the LightningModules, and what they show while they train."""

from binlit.task.classification import Classification
from binlit.task.few_shot import FewShot
from binlit.task.learning import Learning
from binlit.task.monitor import SiteMonitor
from binlit.task.probe import GradientProbe
from binlit.task.progress import ProgressBar
from binlit.task.weight_monitor import WeightMonitor

__all__ = ["Classification", "FewShot", "GradientProbe", "Learning", "ProgressBar", "SiteMonitor", "WeightMonitor"]
