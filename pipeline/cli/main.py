"""The command line: ``python -m pipeline STAGE [--dataset D] [--experiment E] [--set train.epochs=5]``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

from pipeline import EXIT_INTERRUPTED, INTERRUPTED, __version__, config
from pipeline.artifacts import (
    Artifact,
    Blend,
    Freshness,
    Layout,
    begun,
    blend_name,
    discard_damaged,
    locked,
    remove_folder,
    verify,
)
from pipeline.config import (
    DEFAULT_EXPERIMENT,
    ROOT,
    SCRIPT,
    ClusterSettings,
    UserError,
    all_experiment_names,
    geometry,
    load,
)
from pipeline.road import consent as retrain
from pipeline.stages import ROAD, Context
from pipeline.system import disk
from pipeline.system.progress import echo, format_duration

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

HELP = {
    "download": "get the tiles: from Kaggle, from --archive, or from the built-in survey (dataset demo)",
    "prepare": "decode and check the tiles, once",
    "split": "deal the labelled tiles to depth-stratified folds",
    "train": "train the folds; a killed run goes on where it stopped",
    "validate": "score the out-of-fold predictions, cross-fitted, and choose threshold and smallest area",
    "report": "draw the experiment's page and the leaderboard",
    "predict": "predict the test tiles with every trained fold",
    "submit": "write and check the CSV, leave a receipt, upload it (dataset tgs)",
}
BLENDED = ("validate", "report", "submit")
"""Stages that, asked for several experiments, go on with their blend."""
EXIT_USER, EXIT_BUG, EXIT_PIPE = 2, 1, 141
WAIT, LONGEST_WAIT = 600, 86_400
"""Seconds to wait for Kaggle's score: the default and the most. 18,000 tiles usually take less than one minute."""
_interrupted = threading.Event()
"""Set once a signal has asked this command to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for an error that the user can fix, 130 when interrupted."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _interrupted.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a command that a shell runs in the background
            signal.signal(number, _interrupt)
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except KeyboardInterrupt:
        return _error(INTERRUPTED, EXIT_INTERRUPTED)
    except Exception as error:
        # Where a signal meets a framework in the middle of its own code, any error may come of it.
        return _error(INTERRUPTED, EXIT_INTERRUPTED) if _interrupted.is_set() else _explained(error)
    return 0


def _explained(error: Exception) -> int:
    """Say in one line what went wrong; returns the exit status."""
    if isinstance(error, UserError):
        return _error(str(error), EXIT_USER)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough (status | head), which is no error.
        _silence(sys.stdout)
        return EXIT_PIPE
    if told := disk.failure(error):
        return _error(told, EXIT_USER)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _error(f"{place}{error.strerror or error}; fix that and run the same command again", EXIT_USER)
    if os.environ.get("PIPELINE_DEBUG"):
        raise error
    text = " ".join(str(error).split())[:300]
    return _error(
        f"this is a bug: {type(error).__name__}: {text} (PIPELINE_DEBUG=1 shows where; please report it)", EXIT_BUG
    )


def _error(text: str, status: int) -> int:
    try:
        print(f"error: {' '.join(text.split())}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)  # there is nowhere left to say it; the status does
    return status


def _silence(stream: TextIO) -> None:
    """Let a stream lead nowhere: Python would try to write what it holds once more, as its last act."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _flushed(status: int) -> int:
    """Bring what was printed to its end, and see whether it arrived; returns the exit status."""
    for stream in (sys.stderr, sys.stdout):
        if stream is None or stream.closed:  # closed by whoever started us: nobody wants it
            continue
        try:
            stream.flush()
            # Some file systems, NFS among them, report a failed write only when a descriptor is closed.
            os.close(os.dup(stream.fileno()))
        except OSError as error:
            _silence(stream)
            if not status and isinstance(error, BrokenPipeError):
                status = EXIT_PIPE
            elif not status:
                error.filename = "standard output" if stream is sys.stdout else "standard error"
                status = _explained(error)
    return status


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    _interrupted.set()
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Its errors are a user's like all others: one line, which says where to read on."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')} ({self.prog} --help tells more)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        # argparse hides errors of an unbuffered output.
        print(self.format_help(), end="", file=file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m pipeline",
        description="From the competition's archive to a checked submission. The road: " + " -> ".join(ROAD) + ". "
        "Each stage first brings the stages before it up to date; what is up to date is skipped.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for stage in ROAD:
        command = commands.add_parser(stage, help=HELP[stage], description=HELP[stage].capitalize() + ".")
        _common(command)
        command.add_argument("--archive", type=_path, metavar="PATH", help="a zip or folder to take the tiles from")
        command.add_argument("--jobs", type=_positive, default=1, metavar="N", help="folds at once (default 1)")
        _place(command)
        if stage in ROAD[ROAD.index("train") :]:
            command.add_argument(
                "--retrain",
                action="store_true",
                help="train finished folds again, and replace them, where settings or inputs have changed",
            )
        if stage == "submit":
            command.add_argument("--dry-run", action="store_true", help="write and check the CSV, upload nothing")
            wait = command.add_mutually_exclusive_group()
            wait.add_argument(
                "--wait",
                type=_seconds,
                default=WAIT,
                metavar="SECONDS",
                help=f"how long to wait for Kaggle's score (default {WAIT})",
            )
            wait.add_argument(
                "--no-wait", dest="wait", action="store_const", const=0, help="do not wait for Kaggle's score"
            )
            command.add_argument("--force", action="store_true", help="upload a CSV that Kaggle has already")
        command.set_defaults(run=_stage, stage=stage)
    command = commands.add_parser("submissions", help="Kaggle's past submissions beside our receipts, CV against score")
    _root(command)
    command.set_defaults(run=_submissions)
    command = commands.add_parser("show", help="draw one tile: image, truth, prediction")
    _common(command)
    command.add_argument("tile", metavar="TILE_ID", help="id of a labelled or a test tile")
    command.set_defaults(run=_show)
    command = commands.add_parser("status", help="what is done, stale (and why) or missing")
    _common(command)
    command.add_argument("--verify", action="store_true", help="also compare every file with its recorded hash")
    command.set_defaults(run=_status)
    command = commands.add_parser("clean", help="remove what one stage, or one experiment, has left")
    _common(command)
    command.add_argument("what", help="a stage (download, prepare, split, train, ...) or the name of an experiment")
    command.set_defaults(run=_clean)
    command = commands.add_parser("experiments", help="the experiments there are")
    command.add_argument("--all", action="store_true", help="also those of the ladder, which change one thing each")
    command.set_defaults(run=_experiments)
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dataset", default="tgs", metavar="NAME", help="tgs (default), demo, or a name of your own")
    command.add_argument(
        "--experiment",
        default=DEFAULT_EXPERIMENT,
        metavar="NAME",
        help="default: unet; several, and their blend: a,b,c",
    )
    command.add_argument("--folds", default="", metavar="0,1", help="only these folds (default: all)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, for example train.epochs=5"
    )
    _root(command)


def _place(command: argparse.ArgumentParser) -> None:
    """Where folds run."""
    command.add_argument("--executor", choices=("local", "ray"), default="local", help="what runs the folds")
    command.add_argument(
        "--address", default="", help="of a running Ray cluster, or auto (default: this machine alone)"
    )
    command.add_argument("--store", default="", metavar="URL", help="of artifacts, where machines do not share --root")
    command.add_argument("--cpus-per-fold", type=_positive, metavar="N", help="cores of a Ray task")
    command.add_argument("--gpus-per-fold", type=_share, metavar="X", help="GPUs of a Ray task, 0.5 for half of one")


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root",
        type=_path,
        default=ROOT,
        metavar="PATH",
        help="folder of data/ and submissions/",
    )


def _path(text: str) -> Path:
    # A shell leaves the ~ of --archive=~/x, and of a quoted one, as it is. So does this where it is nobody's home.
    with contextlib.suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be a whole number of seconds, 0 to {LONGEST_WAIT}, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (0 <= number <= 1 or (number <= 1024 and number.is_integer())):
        raise argparse.ArgumentTypeError("must be a share of one GPU, such as 0.5, or a whole number of them")
    return number


def _cluster(options: argparse.Namespace) -> ClusterSettings | None:
    """Where folds run, if on Ray."""
    names = ("address", "store", "cpus_per_fold", "gpus_per_fold")
    given = {name: getattr(options, name) for name in names if getattr(options, name, None) not in (None, "")}
    if getattr(options, "executor", "local") == "ray":
        if options.jobs > 1:
            raise UserError("--jobs is of the local executor; on Ray say what one fold gets: --cpus-per-fold 4")
        return ClusterSettings(**given)
    if given:
        raise UserError(f"--{next(iter(given)).replace('_', '-')} needs --executor ray")
    return None


def _context(options: argparse.Namespace, experiment: str = "") -> Context:
    if not options.dataset.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"dataset {options.dataset!r}: a name is made of letters, digits, '-' and '_'")
    # make hands SET over as one text of several assignments.
    experiment = experiment or options.experiment
    settings = load(experiment, _assignments(options))
    return Context(
        Layout(options.root, options.dataset, experiment, settings),
        Freshness(),
        _folds(options.folds, settings.split.folds),
        archive=getattr(options, "archive", None),
        jobs=getattr(options, "jobs", 1),
        cluster=_cluster(options),
        assignments=tuple(_assignments(options)),
        retrain=getattr(options, "retrain", False),
    )


def _contexts(options: argparse.Namespace) -> list[Context]:
    """A context for each experiment that was asked for, each name and setting checked before any work."""
    # A blend's own name (a+b) means its members, too.
    names = list(dict.fromkeys(options.experiment.replace(",", " ").replace("+", " ").split()))
    return [_context(options, name) for name in names or [options.experiment]]


def _one(options: argparse.Namespace) -> str:
    """The experiment of a command that takes one alone."""
    if "," in options.experiment or "+" in options.experiment:
        raise UserError(f"--experiment {options.experiment}: this command takes one experiment at a time")
    return options.experiment


def _assignments(options: argparse.Namespace) -> list[str]:
    return [each for text in options.set for each in config.split_assignments(text)]


def _blend(members: list[Context], options: argparse.Namespace) -> Context:
    """A context for the blend of some experiments.

    Raises:
        UserError: they split differently.
    """
    trees = {context.layout.experiment: context.layout for context in members}
    settings = config.blend({name: layout.settings for name, layout in sorted(trees.items())}, _assignments(options))
    return replace(members[0], layout=Blend(trees.values(), settings), freshness=Freshness())


def _with_blend(contexts: list[Context], options: argparse.Namespace) -> tuple[list[Context], Context | None]:
    """The experiments, and their blend where the command is about one.

    Raises:
        UserError: what is to be submitted cannot be blended. (Scores of each experiment are there without a blend.)
    """
    if len(contexts) < 2 or options.stage not in BLENDED:
        return contexts, None
    try:
        blend = _blend(contexts, options)
        if options.folds:
            return contexts, blend
        members = _same_folds(contexts)
        return members, replace(blend, folds=members[0].folds)
    except UserError as error:
        if options.stage == "submit":
            raise
        echo(f"no blend: {error}")
        return contexts, None


def _same_folds(members: list[Context]) -> list[Context]:
    """The folds that a blend's members have in common; a member that has none yet is to have those of the others.

    Raises:
        UserError: the members have different folds.
    """
    asked = {context.layout.experiment: context.layout.requested_folds() for context in members}
    some = {name: folds for name, folds in asked.items() if folds}
    if not some:
        return members
    first, folds = next(iter(some.items()))
    for name, other in some.items():
        if other != folds:
            said = [f"{one} has folds {','.join(map(str, those))}" for one, those in ((first, folds), (name, other))]
            common = ",".join(str(fold) for fold in folds if fold in other) or "0"
            raise UserError(f"{' and '.join(said)}: train the others, or blend those of both: --folds {common}")
    return [replace(context, folds=folds) for context in members]


def _folds(text: str, count: int) -> tuple[int, ...]:
    if not text:
        return tuple(range(count))
    try:
        folds = tuple(dict.fromkeys(int(each) for each in text.replace(",", " ").split()))
    except ValueError:
        raise UserError(f"folds {text!r}: write them as numbers with commas, for example 0,2") from None
    if not folds:
        raise UserError(f"folds {text!r}: write them as numbers with commas, for example 0,2")
    wrong = [fold for fold in folds if not 0 <= fold < count]
    if wrong:
        raise UserError(f"there is no fold {', '.join(map(str, wrong))}; the folds are 0 to {count - 1}")
    return tuple(sorted(folds))


def _stage(options: argparse.Namespace) -> None:
    """Walk the road as far as the stage that was asked for."""
    contexts, target = _contexts(options), options.stage
    for context in contexts:
        # Only here: what is there may be looked at, and removed, whatever its settings are now.
        try:
            geometry.check(context.layout.settings)
        except UserError as error:
            raise UserError(f"experiment {context.layout.experiment}: {error}") from None
    first = contexts[0]
    _check_archive(first)
    contexts, blend = _with_blend(contexts, options)
    if ROAD.index(target) > ROAD.index("train") and not options.folds:
        contexts = [_requested_only(context) for context in contexts]
    # Training ends with its score and its page, so that nobody has to ask for them.
    # Of a submission's members only the blend is submitted.
    goal = "report" if target in ("train", "validate") else "predict" if blend and target == "submit" else target
    last = ROAD.index(goal)
    shared, road = ROAD[: min(last + 1, ROAD.index("train"))], ROAD[: last + 1]
    errors: list[str] = []
    _walk(contexts, target, shared, 0, errors)
    if errors:
        raise UserError(errors[0])
    if "train" in road:
        retrain.check(contexts)
    # A cluster has the folds of all experiments at once; without one, each is finished before the next begins.
    groups = [contexts] if first.cluster is not None else [[context] for context in contexts]
    for group in groups:
        for context in _walk(group, target, road, len(shared), errors):
            if not (blend and target == "submit"):
                _tell(context, options, several=len(contexts) > 1)
    if blend and not errors:

        def members() -> None:
            for group in groups:
                _forget(group)
                _walk(group, target, road, 0, errors)

        # Whether there is a blend to submit is known once it is validated.
        before = BLENDED[:-1]
        validated = _walk([blend], target, before, 0, errors, members)
        if target == "submit" and validated:
            _refuse_only_member(blend)
            validated = _walk([blend], target, BLENDED, len(before), errors, members)
        for context in validated:
            _tell(context, options, several=True)
    if errors:
        raise UserError("; ".join(dict.fromkeys(errors)))


def _refuse_only_member(blend: Context) -> None:
    """Refuse to submit a blend that is one of its members: its CSV would be that member's.

    Raises:
        UserError: one member has all the weight; the line says what submits it.
    """
    from pipeline.cli.summary import only_member

    if told := only_member(blend):
        _refresh_leaderboard(blend.layout)
        raise UserError(told)


def _walk(
    contexts: list[Context],
    target: str,
    road: Sequence[str],
    begin: int,
    errors: list[str],
    below: Callable[[], None] | None = None,
) -> Sequence[Context]:
    """Bring the stages of a road up to date for some experiments.

    Args:
        contexts: the experiments.
        target: the stage that the user asked for.
        road: the stages to its end.
        begin: how many of them are up to date; damaged inputs lead back to the first.
        errors: gets a line for each error; an experiment that has one does not go on, the others do.
        below: brings up to date again what lies before the road, where inputs are damaged.

    Returns:
        The experiments that are at the end of the road.
    """
    stages = list(road[begin:])
    while stages and contexts:
        stage = stages.pop(0)
        if stage == "train":
            retrain.check(contexts)  # once more: damaged inputs may have been made again with other content
            for context in contexts:
                context.layout.request_folds({*context.folds, *context.layout.requested_folds()})
                context.layout.write_config()
        if stage == "validate" and target == "train":
            contexts = [_predicted_only(context) for context in contexts]
        pending = [context for context in contexts if context.pending(stage)]
        if damaged := discard_damaged(each for context in pending for each in context.pending(stage)):
            for line in damaged:
                echo(line)
            if below is not None:
                below()
            _forget(contexts)
            # An error below is one of every experiment of this road.
            stages = [] if below is not None and errors else list(road)
            contexts = contexts if stages else []
        elif pending:
            started = time.monotonic()
            failed = _make(stage, pending, errors)
            contexts = [context for context in contexts if not (failed and context.pending(stage))]
            if stage in ("train", "predict") and contexts:
                echo(f"{stage}: done in {format_duration(time.monotonic() - started)}")
        elif stage == target:
            echo(f"{stage}: up to date")
    return contexts


def _make(stage: str, contexts: list[Context], errors: list[str]) -> bool:
    """Run a stage, all folds of the experiments at once, everything else in turn; returns whether one failed."""
    before = len(errors)
    for group in [contexts] if stage in ("train", "predict") else [[context] for context in contexts]:
        try:
            # One experiment may have made what the next one needs, too.
            if any(context.pending(stage) for context in group):
                _run(stage, group)
        except UserError as error:
            errors.append(str(error))
        _forget(contexts)
    return len(errors) > before


def _run(stage: str, contexts: list[Context]) -> None:
    """Run a stage. What another process made while this one waited for its lock is not made again."""
    if stage in ("train", "predict"):  # whose folds have locks of their own, which nobody waits for
        _module(stage).run(*contexts)
        return
    (context,) = contexts
    if stage == "download":
        from pipeline.stages import download

        download.check_source(context)
    with contextlib.ExitStack() as stack:
        for artifact in context.artifacts(stage):
            stack.enter_context(locked(artifact))
        context.freshness.forget()
        if context.pending(stage):
            _module(stage).run(context)
            return
    echo(f"{stage}: another process has made it")
    if stage == "download":
        _check_archive(context)


def _check_archive(context: Context) -> None:
    """Refuse an archive that the dataset cannot be made from, or was not made from."""
    if context.archive is not None:
        from pipeline.stages import download

        download.check_archive(context, context.archive)


def _forget(contexts: list[Context]) -> None:
    for context in contexts:
        context.freshness.forget()


def _tell(context: Context, options: argparse.Namespace, several: bool) -> None:
    """What came of an experiment; a submission is uploaded."""
    target = options.stage
    if ROAD.index(target) >= ROAD.index("train"):
        _refresh_leaderboard(context.layout)
    if target in ("train", "validate", "report"):
        from pipeline.cli.summary import blended, trained

        if context.layout.is_blend:
            echo("")
            blended(context)
        else:
            if several:
                echo(f"\n  experiment          {context.layout.experiment}")
            trained(context)
    if target == "submit":
        from pipeline.cli.summary import next_command, submitted
        from pipeline.stages import upload

        submitted(context)
        again = next_command(context, "submit")
        upload.run(context, dry=options.dry_run, wait=options.wait, force=options.force, again=again)


def _refresh_leaderboard(layout: Layout) -> None:
    """Write the leaderboard where something is newer: a command that was killed may have left it behind."""
    written = [layout.leaderboard.with_suffix(suffix) for suffix in (".csv", ".md", ".html")]
    sources = [*layout.root.glob("data/*/experiments/*/cv.json"), *layout.submissions.glob("*/*.json")]
    newest = max((path.stat().st_mtime_ns for path in sources), default=0)
    if any(not path.is_file() or path.stat().st_mtime_ns < newest for path in written):
        from pipeline.reporting import leaderboard

        leaderboard.write(layout.root)


def _requested_only(context: Context) -> Context:
    """The stages after training use the folds that were asked for so far; where there are none, all."""
    layout, asked = context.layout, context.layout.requested_folds()
    if not asked:
        return context
    if len(asked) < len(layout.folds):
        said = ", ".join(map(str, asked))
        echo(f"folds {said} of {len(layout.folds)} are used, which were asked for so far (make train trains the rest)")
    return replace(context, folds=asked)


def _predicted_only(context: Context) -> Context:
    """Every fold that has out-of-fold predictions, whichever were trained just now."""
    layout = context.layout
    done = tuple(fold for fold in layout.folds if context.freshness.state(layout.out_of_fold(fold)).done)
    return replace(context, folds=done or context.folds)


def _module(stage: str):
    """A stage's module, imported only when the stage has work: a command with nothing to do stays fast."""
    from importlib import import_module

    return import_module(f"pipeline.stages.{stage}")


def _submissions(options: argparse.Namespace) -> None:
    from pipeline.stages import submissions

    submissions.run(options.root)


def _show(options: argparse.Namespace) -> None:
    from pipeline.stages import show

    context = _predicted_only(_context(options, _one(options)))
    if not show.run(context, options.tile):
        from pipeline.cli.summary import next_command

        echo(f"  no prediction of it yet: {next_command(context, 'train predict')}")


def _status(options: argparse.Namespace) -> None:
    contexts = _contexts(options)
    for context in contexts:
        _status_of(context, ROAD, options.verify)
    if len(contexts) > 1:
        try:
            _status_of(_blend(contexts, options), BLENDED, options.verify)
        except UserError as error:
            echo(f"no blend: {error}")


def _status_of(context: Context, stages: Sequence[str], thorough: bool) -> None:
    echo(f"dataset {context.layout.dataset}, experiment {context.layout.experiment}")
    for stage in stages:
        for artifact in context.artifacts(stage):
            echo(f"  {artifact.name:<16} {_told(context, artifact, thorough)}")


def _told(context: Context, artifact: Artifact, thorough: bool) -> str:
    state = context.freshness.state(artifact)
    manifest = context.freshness.manifest(artifact)
    if not state.done and artifact.stage == "train" and begun(artifact):
        why = f"{state.why}; " if state.why else ""
        return f"{state.kind}: {why}begun; make train goes on from its last finished epoch"
    if state.done and thorough and manifest is not None:
        error = verify(artifact, manifest)
        if error:
            return f"damaged: {error}; what needs it makes it again first"
    return state.kind + (f": {state.why}" if state.why else "")


def _clean(options: argparse.Namespace) -> None:
    """Remove what a stage or an experiment has left, and nothing else.

    Raises:
        BusyError: another process is making some of it. Nothing was removed.
    """
    if options.what in ROAD:
        context = _context(options, _one(options))
        made = context.artifacts(options.what)
        gone = [path for artifact in made for path in _paths(artifact)]
        if options.what == "predict":
            gone += [context.layout.test_part(fold, 0).folder for fold in context.folds]
        if options.what == "download":
            gone.append(context.layout.download_folder)
    else:
        # Also one whose file is gone, or is not valid any more: only its name matters.
        plain = _context(options, DEFAULT_EXPERIMENT).layout
        left = {path.name for path in plain.experiment_folder.parent.glob("[!.]*") if path.is_dir()}
        name = blend_name({*options.what.split("+")})
        if not {*options.what.split("+")} <= {*all_experiment_names()} and name not in left:
            known = ", ".join([*ROAD, *sorted({*all_experiment_names(), *left})])
            raise UserError(f"there is nothing called {options.what!r} to clean; there are: {known}")
        layout = Layout(plain.root, plain.dataset, name, plain.settings)
        made = layout.every()
        gone = [layout.experiment_folder, *_paths(layout.submission(()))]
    gone = [path for path in dict.fromkeys(gone) if path.exists()]
    with contextlib.ExitStack() as stack:
        for artifact in made if gone else ():
            stack.enter_context(locked(artifact, patience=0))
        if options.what == "train" and context.layout.experiment_folder.is_dir():
            context.layout.request_folds({*context.layout.requested_folds()} - {*context.folds})
        for path in gone:
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)
            echo(f"removed {path}")
    if not gone:
        echo("nothing to remove")
    elif (options.root / "submissions").is_dir():
        from pipeline.reporting import leaderboard

        leaderboard.write(options.root)


def _paths(artifact: Artifact) -> list[Path]:
    if artifact.stage in ("download", "prepare", "split", "train"):
        return [artifact.folder]
    return [artifact.folder / name for name in (artifact.manifest_name, *artifact.outputs, *artifact.extras)]


def _experiments(options: argparse.Namespace) -> None:
    from pipeline.config.experiment_files import description, experiment_names

    names = all_experiment_names() if options.all else experiment_names()
    width = max(map(len, names))
    for name in names:
        echo(f"{name:<{width}}  {description(name) or '(its file has no description in the first line)'}")
    if not options.all:
        more = len(all_experiment_names()) - len(names)
        echo(f"and {more} of the ladder, which change one thing each: python -m pipeline experiments --all")


def run() -> NoReturn:
    """Run the command line as a process of its own, to its end, which nothing interrupts any more."""
    try:
        try:
            status = main()
        except SystemExit as ended:  # of --help and --version
            status = int(ended.code or 0)
        status = _flushed(status)
        # What is done is done. Python gives back the signals' default ways when it ends, and a framework takes its time
        # to be gone: a signal in these moments would end in the signal's own status.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        status = _error(INTERRUPTED, EXIT_INTERRUPTED)
    if status == EXIT_INTERRUPTED:
        # Not by way of the interpreter's end, where a framework's threads may see the signal once more.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
