"""train.py in several processes, which one that has ComfyUI loaded starts in no time, by fork.

What a launcher would set in the environment is set here. In the middle of a run something may happen to one
of them: it is killed, gets a signal, or finds the file `stop`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from job_tools import COMFYUI, TRAIN
from support import fork, load_module


class Starter:
    """Runs jobs in so many processes each."""

    def __init__(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, __file__, str(TRAIN), COMFYUI]
        paths = os.pathsep.join(sys.path)
        self._process = subprocess.Popen(
            command, text=True, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}, **pipes
        )

    def run(
        self, job: Path, size: int, happens: str = "", to: int = 1, after: int = 0
    ) -> tuple[Sequence[int], Sequence[str]]:
        """Statuses of the processes of a job, by number, and what each of them said.

        What `happens` to the one of the number `to` happens as it looks, `after` steps, whether to stop.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("no pipes")
        stdin.write(f"{json.dumps([str(job), size, port, happens, to, after])}\n")
        stdin.flush()
        statuses = json.loads(stdout.readline())
        return statuses, [(job.parent / f"said-{rank}").read_text() for rank in range(size)]

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)


def main() -> None:
    """Start what the lines on stdin ask for."""
    sandbox = load_module("scedit_train_job", Path(sys.argv[1]))
    train = sandbox.loaded("train", Path(sys.argv[1]).parents[1] / "train.py")
    train.open_pack()
    train.part("nodes.training.jobs.host").open_comfyui(Path(sys.argv[2]), on_cpu=True)
    train.part("nodes.training.jobs.running")
    for line in sys.stdin:
        job, size, port, happens, to, after = json.loads(line)
        processes = []
        for rank in range(size):
            pid = fork()
            if not pid:
                environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
                os.environ.update({name: str(value) for name, value in environment.items()})
                os.environ["MASTER_ADDR"] = "127.0.0.1"
                if rank == to and happens:
                    let_happen(train, happens, after)
                os._exit(child(train, sandbox, Path(job), rank))
            processes.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in processes]
        sys.stdout.write(f"{json.dumps(codes)}\n")
        sys.stdout.flush()


def child(train: Any, sandbox: Any, job: Path, rank: int) -> int:
    """The status of train.py, and what it said in a file."""
    said = os.open(job.parent / f"said-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    arguments = ["run", str(job), "--cpu", "--comfyui", sys.argv[2]]
    return train.main(arguments, ready=sandbox.register)


def let_happen(train: Any, happens: str, after: int) -> None:
    """Have something happen to this process."""
    asked = train.part("nodes.training.jobs.asked").Asked
    look, looks = asked.to_stop, []

    def to_stop(self: Any) -> bool:
        looks.append(None)
        if len(looks) == after:
            if happens == "stop":
                self._stop.touch()
            else:
                os.kill(os.getpid(), int(happens))
        return look(self)

    asked.to_stop = to_stop


if __name__ == "__main__":
    main()
