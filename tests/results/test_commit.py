"""The commit in a record: read from the repository, which is left as it was."""

from __future__ import annotations

import os
import subprocess

import pytest

from binlit.results import record


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository whose index is out of date: a plain `git status` would take its lock and write it anew."""
    source = tmp_path / "src" / "a.py"
    source.parent.mkdir()
    source.write_text("a = 1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init"], ["add", "."], [*who, "commit", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
    os.utime(source, (1, 1))
    monkeypatch.setattr(record, "repository", lambda: tmp_path)
    record.commit.cache_clear()
    yield tmp_path
    record.commit.cache_clear()


def test_changed_sources_are_marked(checkout):
    clean = record.commit()
    (checkout / "src" / "a.py").write_text("a = 2\n")
    record.commit.cache_clear()
    assert record.commit() == f"{clean}+"


def test_the_repository_is_not_locked(checkout):
    """A run that is killed just then would leave the lock behind, and nobody could commit."""
    index = (checkout / ".git" / "index").read_bytes()
    assert record.commit()
    assert (checkout / ".git" / "index").read_bytes() == index
