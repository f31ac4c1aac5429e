"""make creates the virtual environment once and updates it in place, but not while a command runs from it."""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.system import environment

PROJECT = Path(__file__).parents[2]

FAKE = """#!{python}
import os, pathlib, sys
here = pathlib.Path(sys.argv[0]).absolute()
log = pathlib.Path({log!r})
arguments = sys.argv[1:]
if arguments[:2] == ["-m", "venv"]:
    venv = pathlib.Path(arguments[-1])
    with log.open("a") as stream:
        stream.write("venv " + " ".join(arguments[2:-1]) + "\\n")
    import shutil
    shutil.rmtree(venv, ignore_errors=True)
    (venv / "bin").mkdir(parents=True)
    shutil.copy(here, venv / "bin" / "python")
elif arguments[:3] == ["-m", "pip", "install"]:
    with log.open("a") as stream:
        stream.write("pip " + arguments[-1] + "\\n")
    if "broken" in pathlib.Path(arguments[-1]).read_text():
        sys.exit("pip: no network")
    (here.parent.parent / "installed").write_text(pathlib.Path(arguments[-1]).read_text())
elif arguments[:2] == ["-m", "pipeline"]:
    with log.open("a") as stream:
        stream.write("pipeline " + arguments[2] + "\\n")
else:
    os.execv(sys.executable, [sys.executable, *arguments])
"""


class Project:
    """A copy of the Makefile with a fake Python that logs its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.venv, self._log = folder, folder / ".venv", folder / "log"
        (folder / "pipeline/system").mkdir(parents=True)
        shutil.copy(PROJECT / "Makefile", folder)
        shutil.copy(PROJECT / "pipeline/system/environment.py", folder / "pipeline/system")
        self.python = str(folder / "python-fake")
        Path(self.python).write_text(FAKE.format(python=sys.executable, log=str(self._log)))
        Path(self.python).chmod(0o755)
        self.time = 1_000_000_000
        self.lock("keras==1\n")
        self.lock("keras==1\njax==1\n", "jax")

    def lock(self, text: str, name: str = "base") -> None:
        """Write a lock file that is newer than everything."""
        path = self.folder / f"requirements/{name}.lock"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path)

    def age(self) -> None:
        """Give every file an old time."""
        for path in (self.folder, *self.folder.rglob("*")):
            os.utime(path, (self.time, self.time))
        self.time += 10

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.Popen(
            ["make", *arguments, f"PYTHON3={self.python}"],
            cwd=self.folder,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make(self, *arguments: str) -> tuple[int, list[str], str]:
        """Run make; returns its status, the calls of Python, and standard error."""
        self._log.write_text("")
        process = self.start(*arguments)
        _, error = process.communicate(timeout=60)
        return process.returncode, self.calls(), error

    def calls(self) -> list[str]:
        return self._log.read_text().splitlines()

    def run_from_it(self) -> int:
        """Lock the environment like a command that runs from it."""
        descriptor = os.open(self.folder / ".venv.lock", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    return Project(tmp_path)


@pytest.fixture
def ready(project: Project) -> Project:
    """A project with an environment to which the user added a package."""
    status, calls, error = project.make("status")
    assert (status, calls) == (0, ["venv --clear", "pip requirements/base.lock", "pipeline status"]), error
    (project.venv / "cuda").write_text("the user's")
    project.age()
    return project


def test_an_environment_is_created_once(ready: Project):
    assert ready.make("status")[:2] == (0, ["pipeline status"])


def test_the_lock_file_is_created_where_it_is_missing(ready: Project):
    (ready.folder / ".venv.lock").unlink()
    assert ready.make("status")[:2] == (0, ["pipeline status"])
    assert (ready.folder / ".venv.lock").is_file()


def test_newer_requirements_are_installed_in_place_and_added_packages_are_kept(ready: Project):
    ready.lock("keras==2\n")
    assert ready.make("status")[:2] == (0, ["pip requirements/base.lock", "pipeline status"])
    assert (ready.venv / "cuda").is_file()
    assert (ready.venv / "installed").read_text() == "keras==2\n"
    ready.age()
    assert ready.make("status")[:2] == (0, ["pipeline status"])


def test_newer_but_equal_requirements_install_nothing(ready: Project):
    os.utime(ready.folder / "requirements/base.lock")
    assert ready.make("status")[:2] == (0, ["pipeline status"])


def test_a_broken_environment_is_created_again(ready: Project):
    (ready.venv / "bin/python").unlink()
    ready.lock("keras==2\n")
    assert ready.make("status")[1] == ["venv --clear", "pip requirements/base.lock", "pipeline status"]
    (ready.venv / "bin/python").write_text("#!/bin/sh\nexit 1\n")  # also one of another version of Python
    ready.age()
    ready.lock("keras==3\n")
    assert ready.make("status")[1] == ["venv --clear", "pip requirements/base.lock", "pipeline status"]


def test_a_failed_installation_is_tried_again_by_the_next_command(ready: Project):
    ready.lock("broken\n")
    for _ in range(2):
        status, calls, error = ready.make("status")
        assert (status, calls) == (2, ["pip requirements/base.lock"])
        assert "requirements/base.lock cannot be installed into .venv" in error
    assert (ready.venv / "cuda").is_file()


def test_nothing_is_updated_while_a_command_runs(ready: Project):
    ready.lock("keras==2\n")
    descriptor = ready.run_from_it()
    status, calls, error = ready.make("status")
    assert (status, calls) == (0, ["pipeline status"])
    assert error.count("\n") == 1
    assert "warning: a command runs from .venv, so it is not updated from requirements/base.lock now" in error
    os.close(descriptor)
    assert ready.make("status")[:2] == (0, ["pip requirements/base.lock", "pipeline status"])


def test_new_packages_wait_for_the_command_to_end(ready: Project):
    descriptor = ready.run_from_it()
    process = ready.start(".venv/ready-jax")
    assert process.stderr is not None
    assert "waiting: a command runs from .venv" in process.stderr.readline()
    assert "pip requirements/jax.lock" not in ready.calls()
    os.close(descriptor)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "pip requirements/jax.lock" in ready.calls()


def test_without_python_the_error_names_the_versions(project: Project):
    project.python = ""
    status, calls, error = project.make("status")
    assert (status, calls) == (2, [])
    assert "Python 3.11, 3.12 or 3.13 is needed" in error


def test_a_command_locks_its_environment_and_waits_for_an_update(tmp_path: Path):
    venv = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text("\n".join([str(PROJECT), *site.getsitepackages()]))
    lock = os.open(tmp_path / ".venv.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as an update does
    command = [str(venv / "bin/python"), "-m", "pipeline", "experiments"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == f"waiting: {venv} is being updated\n"
    assert process.poll() is None
    fcntl.flock(lock, fcntl.LOCK_UN)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "unet" in printed

    code = (
        "import sys; from pipeline.system.environment import hold; hold(); print('held', flush=True); sys.stdin.read()"
    )
    command = [str(venv / "bin/python"), "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.communicate(timeout=60)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)


def test_an_environment_that_make_did_not_create_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    environment.hold()
    assert not list(tmp_path.iterdir())


def test_only_the_environment_of_make_in_the_current_folder_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert not environment.is_from_make()
    assert environment.option("folds", "0,1") == "--folds 0,1"
    (tmp_path / ".venv.lock").touch()
    assert environment.is_from_make()
    assert environment.option("folds", "0,1") == "FOLDS=0,1"
    assert environment.option("set", "train.epochs=5") == 'SET="train.epochs=5"'
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not environment.is_from_make()
