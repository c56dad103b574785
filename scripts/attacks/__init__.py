"""The attacks of scripts/attack.py: a file for each kind, plain functions that yield tries.

running.py runs a command in a forked copy of a process that has everything imported; verdict.py says what is wrong with
how it ended; ground.py trains the few small nets that are attacked.
"""

MODULES = (
    "hostile_config",
    "kernel_cache",
    "packed_files",
    "export_target",
    "kills",
    "damaged_checkpoints",
    "image_cache",
    "records",
    "full_disks",
    "leftovers",
    "data_files",
    "threads",
    "divergence",
    "batches",
    "let_through",
    "slips",
    "signals",
)  # in the order of their numbers
