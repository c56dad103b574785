"""What the options of each config group say of themselves. Free of torch."""

from binlit.catalogue.options import (
    GROUPS,
    DatasetFacts,
    EstimatorFacts,
    Facts,
    ModelFacts,
    OptimizerFacts,
    Option,
    TaskFacts,
    expand,
    files,
    option,
    option_meant,
    packaged,
    split,
)

__all__ = [
    "GROUPS",
    "DatasetFacts",
    "EstimatorFacts",
    "Facts",
    "ModelFacts",
    "OptimizerFacts",
    "Option",
    "TaskFacts",
    "expand", "files",
    "option",
    "option_meant",
    "packaged",
    "split",
]  # fmt: skip
