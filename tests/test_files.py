"""Files are written whole or not at all; what killed writers leave goes, and what somebody is writing stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from binlit.files import HOST, alone, append_line, refusal, remove_leftovers, whole, write_whole

WRITER = """
import sys, time
from pathlib import Path
from binlit.files import whole
with whole(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def start_writer(path) -> subprocess.Popen:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout
    assert writer.stdout.readline() == b"writing\n"
    return writer


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_removes_what_it_left(tmp_path):
    path = write_whole(tmp_path / "result.json", "old")
    alive, killed = start_writer(path), start_writer(path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert path.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 3
        write_whole(path, "new")
        assert path.read_text() == "new"
        (left,) = [other for other in tmp_path.iterdir() if other != path]
        assert f".{HOST}.{alive.pid}-" in left.name  # nobody robs a writer that is at work
    finally:
        alive.kill()
        alive.wait()
    write_whole(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_other_machines_go_after_a_day_and_those_of_before_at_once(tmp_path):
    path = tmp_path / "result.json"
    names = [f".result.json.{HOST}.1-0.part", ".result.json.99999", ".result.json.other.1-0.part", ".result.json.notes"]
    for name in names:
        (tmp_path / name).write_text("x")
    remove_leftovers(path)
    assert sorted(left.name for left in tmp_path.iterdir()) == sorted(names[2:])
    os.utime(tmp_path / names[2], (0, time.time() - 90_000))
    remove_leftovers(path)
    assert [left.name for left in tmp_path.iterdir()] == [names[3]]


def test_after_an_exception_the_file_is_as_it_was(tmp_path):
    path = write_whole(tmp_path / "a", "old")

    def write() -> None:
        with whole(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_stay_permissions_are_as_usual_and_devices_are_not_written_over(tmp_path):
    path, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(path)
    write_whole(link, "x")
    assert link.is_symlink()
    assert path.read_text() == "x"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(OSError, match="not a regular file"):
            write_whole(place, "x")
        with pytest.raises(OSError, match="not a regular file"):
            append_line(place, "x")
    write_whole(tmp_path / ("n" * 250), "a name with no room for another")


def _umask() -> int:
    old = os.umask(0)
    os.umask(old)
    return old


def test_a_line_behind_one_that_lacks_its_end_is_a_line_of_its_own(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    append_line(path, "one")
    path.write_text("one\ntorn")
    append_line(path, "two")
    assert path.read_text() == "one\ntorn\ntwo\n"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_line(path, "three")
    assert path.read_text() == "one\ntorn\ntwo\n"


def test_a_lock_file_that_its_holder_removed_holds_nobody(tmp_path):
    lock, held = tmp_path / "lock", []

    def hold() -> None:
        with alone(lock):
            held.append(len(held))
            assert lock.exists()
            time.sleep(0.01)
            lock.unlink()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (errno.ENOSPC, ["no space left", "free some space there"]),
        (errno.EROFS, ["read-only file system", "choose another folder"]),
        (errno.ENOTDIR, ["it is no folder", "choose another folder"]),
        (errno.EIO, ["input/output error", "look to the disk"]),
    ],
)
def test_a_refusal_is_one_line_with_folder_reason_and_remedy(tmp_path, number, parts):
    said = refusal(OSError(number, os.strerror(number)), tmp_path)
    assert "\n" not in said
    for part in [str(tmp_path), *parts]:
        assert part in said
