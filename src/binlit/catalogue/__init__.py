"""What the options of each config group say of themselves. Free of torch."""

from binlit.catalogue.options import (
    GROUPS,
    Config,
    DatasetFacts,
    EstimatorFacts,
    Facts,
    ModelFacts,
    OptimizerFacts,
    Option,
    TaskFacts,
    expand,
    facts_of,
    files,
    option,
    option_meant,
    packaged,
    split,
)

__all__ = [
    "GROUPS",
    "Config",
    "DatasetFacts",
    "EstimatorFacts",
    "Facts",
    "ModelFacts",
    "OptimizerFacts",
    "Option",
    "TaskFacts",
    "expand",
    "facts_of",
    "files",
    "option",
    "option_meant",
    "packaged",
    "split",
]  # fmt: skip
