"""Two that prepare one data set at once: one does it, the other says so; nobody waits for the dead."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from prepare_tools import files, run
from support import REPOSITORY

from scedit_core import SCEditError
from scedit_core.training.dataset.shards import lock, open_dataset, writer
from scedit_core.training.dataset.shards.prepare import Watch

# a process that starts others in no time: each stops after four examples until there is a file 'go'
STARTER = """
import os, pathlib, signal, sys, time; sys.path[:0] = [{tests!r}, {here!r}]
import support; support.load_package("scedit_core", pathlib.Path({core!r}))
from scedit_core.training.dataset.shards import lock, writer
from scedit_core.training.dataset.shards.prepare import Watch
import prepare_tools; from scedit_core import SCEditError
lock.BEAT, writer.MOST_EXAMPLES = 0.05, 3
class Slow(Watch):
    def done(self, number, total, last):
        (folder / f"done{{number}}").touch()
        while number == 4 and not (folder / "go").exists(): time.sleep(0.02)
for line in sys.stdin:
    word, given = line.split()
    if word == "start":
        folder = pathlib.Path(given)
        pid = support.fork()
        if not pid:
            try: prepare_tools.run(folder / "pictures", folder / "sets" / "mine", watch=Slow())
            except SCEditError: os._exit(1)
            os._exit(0)
        print(pid, flush=True)
    elif word == "sleep":  # a signal is not yet a process that sleeps: its threads may write once more
        os.kill(int(given), signal.SIGSTOP); os.waitpid(int(given), os.WUNTRACED)
        print(0, flush=True)
    else:
        print(os.waitstatus_to_exitcode(os.waitpid(int(given), 0)[1]), flush=True)
"""


if not hasattr(os, "fork"):
    pytest.skip("the other process is started by fork", allow_module_level=True)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Seconds are too long for a test; three examples to a shard."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    monkeypatch.setattr(writer, "MOST_EXAMPLES", 3)


@pytest.fixture(scope="module")
def starter():
    """Asks a process that has everything loaded."""
    here, tests = str(Path(__file__).parent), str(REPOSITORY / "tests")
    code = STARTER.format(tests=tests, here=here, core=str(REPOSITORY / "scedit_core"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:

        def ask(word: str, given: object) -> int:
            process.stdin.write(f"{word} {given}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture
def other(starter, place, tmp_path):
    """The number of another process, in the middle of preparing the same set."""
    pid = starter("start", tmp_path)
    while not (place.parent / "done4").exists():
        time.sleep(0.02)
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_the_second_is_told_that_the_first_is_at_work(other, starter, place, target, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 20.0)  # it ends at the first change that it sees
    before = files(target)
    with pytest.raises(SCEditError, match=r"another process prepares the data set 'mine' at this moment; "):
        run(place, target)
    assert files(target).keys() == before.keys()
    (tmp_path / "go").touch()
    assert starter("wait", other) == 0
    assert len(open_dataset(target)) == 7


def test_a_process_that_was_killed_stands_in_nobodys_way(other, starter, place, target):
    os.kill(other, signal.SIGKILL)
    starter("wait", other)
    assert (target / lock.LOCK).exists()
    report = run(place, target)
    assert (report.kept, report.added) == (3, 4)
    assert not (target / lock.LOCK).exists()


@pytest.mark.parametrize("is_another_at_work", [False, True])
def test_a_process_that_slept_meanwhile_changes_nothing_any_more(
    is_another_at_work, other, starter, place, target, tmp_path
):
    starter("sleep", other)
    run(place, target)
    whole = files(target)
    if is_another_at_work:
        (target / lock.LOCK).write_text("of a third one")
    (tmp_path / "go").touch()
    os.kill(other, signal.SIGCONT)
    assert starter("wait", other) == 1
    (target / lock.LOCK).unlink(missing_ok=True)
    assert files(target) == whole
    assert len(open_dataset(target)) == 7


def test_of_two_that_find_a_dead_ones_file_one_goes_on(place, target):
    run(place, target)
    (target / lock.LOCK).write_text("of a dead process")
    said = []

    def each() -> None:
        try:
            with lock.alone_in(target, lambda: None) as check:
                time.sleep(0.5)
                check()
                said.append("done")
        except SCEditError as error:
            said.append(str(error))

    threads = [threading.Thread(target=each) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("done") == 1
    assert any(word in "".join(said) for word in ("at this moment", "has taken over"))


def test_what_ends_a_preparation_leaves_no_lock(place, target):
    with pytest.raises(RuntimeError, match="stop"):
        run(place, target, watch=Ending())
    assert not (target / lock.LOCK).exists()


class Ending(Watch):
    """Ends with an error."""

    def done(self, *_args) -> None:
        """End."""
        raise RuntimeError("stop")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_set_that_may_not_be_written_to_is_looked_at_without_a_lock(place, target):
    run(place, target)
    target.chmod(0o500)
    try:
        assert run(place, target).kept == 7
    finally:
        target.chmod(0o700)
