"""Fingerprints carry a version: what later settings leave as it is, and how what was written before is read."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from tests.config.test_check import composed

from binlit import migrate
from binlit.catalogue import GROUPS, packaged
from binlit.config import check, fingerprint, run_folder
from binlit.config.outcome import VERSION, same_numbers, version_of
from binlit.config.versions import up_to_date
from binlit.paths import MANIFEST, RECORD, RECORDS
from binlit.results.record import finished, read_manifest, read_record, read_records, sealed

DOCS = Path(__file__).parents[2] / "docs" / "results"
PINNED = Path(__file__).with_name("defaults.json")
OLD = "0123456789abcdef"  # a fingerprint of version 1: no version before it


def of_version_1(cfg: dict) -> dict:
    """The config as version 1 would have saved it: without what came later, names as they were."""
    old = copy.deepcopy(cfg)
    for key in ("share", "weights", "eval_draws"):
        del old["binary"][key]
    del old["model"]["dropout"]
    old["binary"]["surrogate"] = "hard_tanh"
    old["callbacks"]["monitor"]["_target_"] = "binlit.task.SiteMonitor"
    return old


def run_of_version_1(top: Path) -> Path:
    """A folder with the record of an older run, named by its fingerprint, in a sweep that missed another one."""
    cfg = composed("model=mlp", "binary.layer=1")
    record = json.loads((DOCS / "mnist_table" / RECORDS).read_text().splitlines()[0])
    record |= {"fingerprint": OLD, "config": of_version_1(cfg), "seed": cfg["seed"]}
    folder = top / f"layer-1_seed-0_{OLD[:8]}"
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps(sealed(record)))
    missed = {"row": record["row"], "seed": 1, "fingerprint": "f" * 16}
    (top / MANIFEST).write_text(json.dumps([{**missed, "seed": 0, "fingerprint": OLD}, missed]))
    return folder


def test_an_older_config_is_read_in_todays_words():
    cfg = composed("model=mlp", "binary.layer=1")
    assert up_to_date(of_version_1(cfg)) == cfg
    assert up_to_date(cfg) == cfg
    assert check(of_version_1(cfg)) == cfg


def test_a_setting_that_is_added_leaves_every_fingerprint_as_it_was(monkeypatch):
    cfg = composed("model=mlp", "binary.layer=1")
    before = fingerprint(cfg)
    monkeypatch.setitem(packaged("model")["mlp"].defaults, "later", 0.5)
    cfg["model"]["later"] = 0.5
    assert fingerprint(cfg) == before
    cfg["model"]["later"] = 0.6
    assert fingerprint(cfg) != before


def test_numbers_are_the_same_however_they_are_written():
    assert same_numbers({"a": [1.0, 0.5], "b": {"c": 2.0}, "d": True}) == {"a": [1, 0.5], "b": {"c": 2}, "d": True}
    assert len({fingerprint(composed(f"optimizer.lr={lr}")) for lr in ("1", "1.0", "1e0")}) == 1


def defaults() -> dict[str, dict]:
    """{"model=mlp": {"dropout": 0.0, ...}} of every option in conf/."""
    return {f"{group}={name}": one.plain for group in GROUPS for name, one in sorted(packaged(group).items())}


def test_every_default_that_fingerprints_leave_out_is_as_it_was():
    """Whoever changes one gives the runs before it a new meaning: raise VERSION, and say in versions.py what it was."""
    told, pinned = defaults(), json.loads(PINNED.read_text())
    before = {f"{option}.{key}": value for option, settings in pinned.items() for key, value in settings.items()}
    now = {f"{option}.{key}": value for option, settings in told.items() for key, value in settings.items()}
    assert {key: value for key, value in before.items() if key in now and now[key] != value} == {}
    assert set(before) - set(now) == set()


def test_records_of_an_older_version_are_read_and_those_of_a_later_one_named(tmp_path, capsys):
    folder = run_of_version_1(tmp_path)
    record = read_record(folder)
    assert record is not None
    assert version_of(record["fingerprint"]) == VERSION
    assert record["fingerprint"] == fingerprint(composed("model=mlp", "binary.layer=1"))
    assert read_manifest(tmp_path) == []
    assert f"python -m binlit.migrate {tmp_path}" in capsys.readouterr().err
    later = record | {"fingerprint": f"{VERSION + 1}-{OLD}"}
    (folder / RECORD).write_text(json.dumps(sealed(later)))
    assert read_record(folder) is None
    assert "a later version of binlit wrote it" in capsys.readouterr().err


def test_a_folder_that_was_moved_is_known_to_sweeps(tmp_path, capsys):
    run_of_version_1(tmp_path)
    assert migrate.main([str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "1 records moved to version 2" in said.out
    assert "1 jobs that have no record yet" in said.err
    mine = fingerprint(composed("model=mlp", "binary.layer=1"))
    assert finished(tmp_path / f"layer-1_seed-0_{mine[2:10]}", mine)
    assert [job["fingerprint"] for job in read_manifest(tmp_path)] == [mine]
    assert migrate.main([str(tmp_path)]) == 0
    assert "0 records moved" in capsys.readouterr().out
    assert len(read_records(tmp_path)) == 1


def test_a_run_that_was_cut_off_gets_the_name_by_which_it_goes_on(tmp_path):
    cfg = composed("model=mlp", "binary.layer=1")
    last = tmp_path / f"layer-1_{OLD[:8]}" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    torch.save({"config": of_version_1(cfg), "state_dict": {}, "history": [], "epoch": 0}, last)
    assert migrate.main([str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [run_folder(cfg)]


@pytest.mark.parametrize(
    ("words", "said"), [([], "arguments are required: folders"), (["nowhere"], "nowhere is no folder")]
)
def test_what_cannot_be_moved_is_told_in_a_line(words, said, capsys):
    assert migrate.main(words) == 2
    assert said in capsys.readouterr().err


if __name__ == "__main__":  # notes what came since
    PINNED.write_text(json.dumps(defaults(), indent=1) + "\n")
