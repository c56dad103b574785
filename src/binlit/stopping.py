"""How a process ends before its work does: told to by a signal, or with the process that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import cache
from types import FrameType

from binlit.errors import complain

BY_DEFAULT = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
SAME_SIGNAL = 0.5  # s: `timeout` sends its signal to the process and to its group, which is one signal, not two


class Stopped(SystemExit):
    """A signal told the process to stop. The exit status is 128 and its number, as a shell has it: 143, or 130.

    Attributes:
        name: the signal's.
        where: what was going on, such as " in epoch 3 of 10"; whoever knows sets it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name, self.where = signal.Signals(number).name, ""


def stopped_behind(error: BaseException | None) -> Stopped | None:
    """The `Stopped` that this exception is, or that it took the place of while somebody else's code cleaned up."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise `Stopped`, which is told in a line; a second one ends the process at once.

    A signal that somebody else handles or ignores (a launcher, nohup) is left to them.

    Raises:
        Stopped: at any line, wherever the process is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[float] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if told and time.monotonic() - told[0] < SAME_SIGNAL:
            return
        if told:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        told.append(time.monotonic())
        raise Stopped(number)

    ours = {number: default for number, default in BY_DEFAULT.items() if signal.getsignal(number) == default}
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    except Stopped as stopped:
        complain(f"stopped by {stopped.name}{stopped.where}; the same command goes on")
        raise
    finally:
        if not told:  # else the handler stays, for a second signal while the process ends
            for number, default in ours.items():
                signal.signal(number, default)


@contextlib.contextmanager
def stopped_in_python() -> Iterator[None]:
    """As `stopped_by_signals`, in a process that goes on afterwards: its handlers are what they were.

    Raises:
        KeyboardInterrupt: at Ctrl-C, which Lightning would end the process for.
        Stopped: at SIGTERM.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in BY_DEFAULT} if in_main else {}
    try:
        with stopped_by_signals():
            yield
    except Stopped as stopped:
        if stopped.name == "SIGINT":
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@cache
def end_with_parent() -> None:
    """Lets a launcher's worker process end within a second of the sweep that started it, even of one that was killed.

    Ctrl-C, which reaches the workers as well, is the sweep's to act on.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    number = parent.pid

    def watch() -> None:
        while os.getppid() == number:
            time.sleep(0.5)
        os._exit(128 + signal.SIGTERM)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
