from .gradient_probe import GradientProbe as GradientProbe
from .progress_bar import ProgressBar as ProgressBar
from .site_monitor import SiteMonitor as SiteMonitor
from .weight_monitor import WeightMonitor as WeightMonitor
