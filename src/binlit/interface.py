"""binlit from Python: what the command line does, as functions whose errors are exceptions.

`binlit.run` and `binlit.sweep` take the words of the command line and leave the same folders. A run that one of them
has begun, the other goes on with.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from binlit.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


class Record(dict[str, Any]):
    """The record of a run, as its result.json holds it, and where that lies.

    Its keys are, among others: `status` ("ok" or "failed"), `experiment`, `row` (what was binary, and how), `seed`,
    `metrics` ("test/acc" as a fraction, "test/loss" in nats, ...), `curve` (one entry an epoch), `best_epoch`,
    `duration` in seconds, `config`, `fingerprint`, `versions`, `hardware`; of a failed run `error`.

    Attributes:
        folder: the run's, with its checkpoints.
    """

    def __init__(self, content: dict[str, Any], folder: Path) -> None:
        super().__init__(content)
        self.folder = folder


def run(words: Iterable[str] = (), quiet: bool = False) -> Record:
    """Trains and tests one net, as `python -m binlit.train WORDS` does.

    The config is checked first. The run's folder is made below `output_dir`, held while the run lasts, and left with
    checkpoints and result.json. A run that was cut off is gone on with, and one that is done is not run again. Ctrl-C
    raises KeyboardInterrupt. Signals' handlers, logging, torch's threads and its random state are afterwards as before.

    Args:
        words: settings as on the command line, such as ["+experiment=mnist", "binary.layer=2"]; also "-cd" and a folder
            of your own options.
        quiet: prints nothing but warnings. (The command prints the layers, a progress bar and the result.)

    Returns:
        The record that the folder holds.

    Raises:
        binlit.ConfigError: a word is wrong, or does not fit the others; the message is the command's.
        binlit.dataset.errors.DataError: the data is missing or damaged.
        binlit.task.learning.DivergenceError: the loss or a weight is not finite. The folder's record says so.
        OSError: the folder cannot be written any more.

    Examples:
        >>> import binlit
        >>> record = binlit.run(["model=mlp", "trainer.max_epochs=2"], quiet=True)
        >>> record["status"], record["row"]["layer"], len(record["curve"])
        ('ok', '1', 2)
        >>> record.folder.parent.name
        'digits'
        >>> binlit.run(["binary.layr=2"])
        Traceback (most recent call last):
        binlit.errors.ConfigError: there is no setting 'binary.layr'; did you mean binary.layer?
    """
    from binlit.command.python import run_one
    from binlit.train import recorded

    return Record(*run_one(words, partial(recorded, quiet=quiet)))


def sweep(words: Iterable[str]) -> list[Record]:
    """Runs every combination of the values that settings have, as `python -m binlit.train -m WORDS` does.

    Every job is checked before the first one starts. What is done already is not run again, and jobs that differ only
    in settings without effect run once. A failed job leaves a record that says why, and the others go on.

    Args:
        words: as for `run`, with commas between the values of a setting. "hydra/launcher=joblib" runs jobs side by
            side.

    Returns:
        The records of all jobs, in their order: those done before, done now, and failed. A job that could not even
        write a record is left out.

    Raises:
        binlit.ConfigError: a word or a job is wrong; nothing was started.

    Examples:
        >>> import binlit
        >>> words = ["model=mlp", "trainer.max_epochs=1", "binary.layer=null,1", "name=pair"]
        >>> both = binlit.sweep(words)  # doctest: +ELLIPSIS
        2 jobs: 0 the same as others, 0 done already, 2 to run, into outputs/pair
        layer none, seed 0: test accuracy ...
        layer 1 stochastic st, seed 0: test accuracy ...
        table: python -m binlit.report outputs/pair
        >>> [record["row"]["layer"] for record in both]
        ['none', '1']
    """
    from binlit.command.python import run_jobs
    from binlit.results.record import read_record
    from binlit.train import job

    folders = [one.folder / one.subdir for one in run_jobs(words, job)]
    found = [(read_record(folder), folder) for folder in folders]
    return [Record(record, folder) for record, folder in found if record]


def records(source: str | PathLike[str]) -> pd.DataFrame:
    """The records under a folder as a table, one line a run.

    Args:
        source: a folder of runs; or one with a records.jsonl, as docs/results/ has, or such a file.

    Returns:
        Columns: `experiment`; `status`; what `row` has (`layer`, `mode`, `estimator`, `anneal`, ...); `setting` where
        runs of one row differ in others, such as "optimizer.lr=0.01"; `seed`; the metrics under their own names
        ("test/acc" as a fraction, NaN where a run failed or a value is not finite); `best_epoch`; `duration` in
        seconds; `fingerprint`; `finished` (UTC); `error` of failed runs; `folder`, to load the net from.

    Raises:
        FileNotFoundError: there is no record.
        binlit.ConfigError: these are records of a study of gradients, and not of runs.

    Examples:
        >>> import binlit
        >>> _ = binlit.run(["model=mlp", "trainer.max_epochs=1", "name=few"], quiet=True)
        >>> table = binlit.records("outputs/few")
        >>> table[["layer", "mode", "estimator", "seed", "test/n"]].values.tolist()
        [['1', 'stochastic', 'st', 0, 360]]
        >>> binlit.load(table.folder[0]).training
        False
    """
    import pandas as pd

    from binlit.results.record import read_records, read_runs
    from binlit.results.table import full_rows

    source = Path(source)
    runs = read_runs(source) if source.is_dir() else []
    found = runs or [(None, record) for record in read_records(source)]
    if any("kind" in record for _, record in found):
        raise ConfigError(f"{source} holds a study of gradients; read the table.csv that binlit.report makes of it")
    rows = full_rows([record for _, record in found])
    lines = []
    for folder, record in found:
        setting = {key: value for key, value in rows[record["fingerprint"]].items() if key not in record["row"]}
        own = {key: record.get(key) for key in ("best_epoch", "duration", "fingerprint", "finished", "error")}
        lines.append(
            {key: record[key] for key in ("experiment", "status")}
            | (record["row"] | setting | {"seed": record["seed"]} | record["metrics"] | own)
            | {"folder": None if folder is None else str(folder)}
        )
    last = ("best_epoch", "duration", "fingerprint", "finished", "error", "folder")
    table = pd.DataFrame(lines)
    return table.reindex(columns=[*(name for name in table if name not in last), *last])
