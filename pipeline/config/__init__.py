"""Settings: typed, frozen, validated, and the fingerprint of what a stage depends on.

An experiment is a TOML file that holds only what differs from the defaults below, or from another experiment that it
names as its ``base``; the defaults are the experiment ``unet``. ``--set train.epochs=5`` changes one value on top.
Nothing here imports more than the standard library and msgspec, so that every command starts fast.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

TILE = 101
"""Side of a competition tile in pixels."""

PROJECT = "tgs-salt-pipeline"
"""The project's name in its ``pyproject.toml``."""
SCRIPT = "tgs-salt"
"""The console command of the installed package."""


def _checkout() -> Path | None:
    """The project's folder where the package lies in a checkout; None where it was installed."""
    folder = Path(__file__).resolve().parent.parent.parent
    try:
        lines = (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return folder if f'name = "{PROJECT}"' in lines else None


def _root() -> Path:
    try:
        return CHECKOUT or Path.cwd()
    except OSError:  # the current folder was removed
        return Path()


CHECKOUT = _checkout()
"""The project's folder; None where the package was installed."""
ROOT = _root()
"""Where ``data/`` and ``submissions/`` lie unless somebody says otherwise, as make never does: the checkout, or the
current folder where the package was installed."""
EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
"""Where the experiments that ship with the project live."""

DEFAULT_EXPERIMENT = "unet"
DATASETS = ("tgs", "demo")


class UserError(Exception):
    """An error that the user can fix. The command line prints its one line and exits with status 2."""


Count = Annotated[int, Meta(ge=1, le=10**6)]
Natural = Annotated[int, Meta(ge=0, le=10**6)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Rate = Annotated[float, Meta(ge=0.0, lt=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Seed = Annotated[int, Meta(ge=0, lt=2**31)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One group of settings: frozen, with unknown keys refused."""


class SurveySettings(Section, frozen=True):
    """The built-in synthetic survey (dataset ``demo``)."""

    train: Annotated[int, Meta(ge=10, le=4000)] = 600
    """Labelled tiles."""
    test: Annotated[int, Meta(ge=1, le=18000)] = 300
    """Tiles without labels."""
    seed: Seed = 2018


class SplitSettings(Section, frozen=True):
    """How labelled tiles are dealt to folds."""

    folds: Annotated[int, Meta(ge=2, le=1000)] = 5
    by: Literal["depth", "coverage", "depth+coverage", "random"] = "depth"
    bins: Annotated[int, Meta(ge=2, le=100)] = 10
    """Quantile classes of depth, and classes of coverage, to stratify by."""
    seed: Seed = 0


ExtraChannels = Literal["grey", "coordinates", "depth"]


class InputSettings(Section, frozen=True):
    """How a 101x101 tile becomes the network's input, and back."""

    fit: Literal["pad", "resize"] = "pad"
    """``pad`` mirrors the borders and crops the answer; ``resize`` interpolates both ways."""
    size: Annotated[int, Meta(ge=16, le=1024)] = 112
    """Side of the network's input in pixels."""
    resize: Annotated[int, Meta(ge=0, le=1024)] = 0
    """With ``fit = "resize"``: side that a tile is resized to before its borders are mirrored up to ``size``, as in
    "192 in 224"; 0 fills ``size``."""
    channels: ExtraChannels = "grey"
    """What the network sees beside the grey values: nothing, the place of each pixel in the tile (two channels), or the
    tile's depth (one channel)."""


OwnEncoder = Literal["unet", "resnet34", "se_resnet34"]
Application = Literal[
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetLarge",
    "NASNetMobile",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
]
"""Backbones of ``keras.applications``."""


class NetworkSettings(Section, frozen=True):
    """The U-Net. See pipeline/network/unet.py for what each part does."""

    encoder: OwnEncoder | Application = "unet"
    """The contracting path: the U-Net's own, a ResNet-34 (also with squeeze and excitation), or a backbone of
    ``keras.applications``."""
    weights: Annotated[str, Meta(max_length=4096)] = "none"
    """What a ``keras.applications`` backbone starts from: ``none``, ``imagenet`` (Keras fetches it once), or a file.
    It is known by its path: give a file with other weights another name, or folds that are done stay as they are."""
    width: Count = 32
    """Channels of the first level; each level doubles them."""
    width_max: Count = 256
    """Doubling stops here."""
    levels: Annotated[int, Meta(ge=1, le=6)] = 3
    """Poolings on the contracting path, and upsamplings on the expansive path."""
    blocks: Annotated[int, Meta(ge=1, le=8)] = 2
    """Blocks of two convolutions on every level of the U-Net's own contracting path; the expansive path has one."""
    stem: Literal["none", "stride2", "stride4"] = "stride2"
    """``stride2`` halves the image before the first level and restores it after the last: a quarter of the work.
    ``stride4`` also pools behind it, as ResNets for photographs do."""
    residual: bool = True
    norm: Literal["none", "batch", "group"] = "batch"
    dropout: Annotated[tuple[Rate, ...], Meta(min_length=1, max_length=8)] = (0.1,)
    """Dropout after each pooling, first level first; the last value repeats. A backbone of ``keras.applications`` has
    only what dropout it brings along, and its own blocks, whatever ``blocks`` and ``residual`` say."""
    dropout_up: Annotated[tuple[Rate, ...], Meta(min_length=1, max_length=8)] = (0.1,)
    """Dropout after each concatenation, deepest level first; the last value repeats."""
    dropout_kind: Literal["element", "spatial"] = "spatial"
    """``element`` drops single values, ``spatial`` whole feature maps."""
    kernel_initializer: Literal["he_normal", "he_uniform", "glorot_uniform", "glorot_normal"] = "he_normal"
    padding: Literal["same", "valid"] = "same"
    up: Literal["transposed", "bilinear", "nearest"] = "transposed"
    up_kernel: Literal[2, 3] = 2
    """Kernel of the transposed convolution."""
    attention: Literal["none", "scse"] = "scse"
    """``scse`` weighs channels and pixels of each level of the expansive path."""
    hypercolumn: bool = True
    """The last convolution sees every level of the expansive path, not only the finest."""
    deep_supervision: NonNegative = 0.1
    """Weight of the loss at each coarser level of the expansive path; 0 is off."""
    empty_head: NonNegative = 0.1
    """Weight of the loss of a head that tells tiles with salt from empty ones and gates the mask; 0 is off."""


class AugmentSettings(Section, frozen=True):
    """The training policy, in the order in which it is applied. A probability of 0 switches a step off."""

    flip: Share = 0.5
    """Probability of a left-right flip (seismic sections have no up-down symmetry)."""
    affine: Share = 0.6
    """Probability of one random shift, scale, rotation and shear together."""
    shift: Share = 0.1
    scale: tuple[Positive, Positive] = (0.85, 1.2)
    rotate: NonNegative = 10.0
    """Degrees, either way."""
    shear: NonNegative = 5.0
    """Degrees, either way."""
    elastic: Share = 0.0
    elastic_alpha: NonNegative = 40.0
    elastic_sigma: Positive = 7.0
    """Displacements in pixels before smoothing, and the smoothing's standard deviation in pixels."""
    grid: Share = 0.2
    grid_limit: Share = 0.3
    crop: Share = 0.0
    """Probability of reflecting ``crop_border`` pixels around the tile and cropping 101x101 at random."""
    crop_border: Annotated[int, Meta(ge=0, le=100)] = 10
    intensity: Share = 0.5
    """Probability of a random brightness and contrast."""
    brightness: Share = 0.15
    contrast: Share = 0.15
    gamma: Share = 0.0
    gamma_limit: tuple[Positive, Positive] = (0.7, 1.4)


LossName = Literal[
    "bce",
    "dice",
    "bce_dice",
    "focal",
    "lovasz",
    "lovasz_hinge",
    "symmetric_lovasz",
    "bce_lovasz",
    "bce_symmetric_lovasz",
    "weighted_border",
]


class TrainSettings(Section, frozen=True):
    """Optimisation of one fold."""

    epochs: Count = 48
    batch: Count = 8
    loss: LossName = "bce_dice"
    late_loss: LossName | Literal[""] = "bce_symmetric_lovasz"
    """Loss of the last epochs; empty keeps ``loss`` to the end."""
    late_from: Share = 0.3
    """Share of the epochs after which ``late_loss`` takes over."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-2
    momentum: Rate = 0.9
    """Of SGD."""
    schedule: Literal["constant", "plateau", "cosine", "one_cycle", "cosine_restarts"] = "cosine"
    """What becomes of ``learning_rate``; see pipeline/network/schedules.py."""
    warmup: NonNegative = 1.0
    """Epochs of linear warm-up before the cosine, or before the first of its cycles."""
    floor: Share = 0.01
    """Where a cosine ends and the plateau stops cutting, as a share of ``learning_rate``."""
    peak_at: Rate = 0.3
    """Of ``one_cycle``: share of the steps after which the rate is at its peak, ``learning_rate``."""
    div: Annotated[float, Meta(ge=1.0, le=1e6)] = 25.0
    """Of ``one_cycle``: the first step's rate is the peak divided by this."""
    cycles: Annotated[int, Meta(ge=1, le=1000)] = 4
    """Of ``cosine_restarts``: cosines over the epochs, of lengths as equal as whole epochs allow."""
    snapshots: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Of how many of the last cycles the best weights are kept; their probabilities are averaged. 1 keeps the best
    epoch of the whole run."""
    plateau_patience: Count = 5
    plateau_factor: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    early_stopping: Natural = 0
    """Epochs without a better score after which the fold ends; 0 never stops early."""
    ema: Rate = 0.997
    """Momentum of the exponential moving average of the weights, which is then what is scored and kept; 0 is off."""
    swa_from: Rate = 0.0
    """Share of the epochs after which the weights at each epoch's end are averaged with equal weight (stochastic weight
    averaging), and the average is what is scored and kept; 0 is off. Suits a constant or a cyclical rate."""
    pseudo_share: Rate = 0.0
    """Share of an epoch's tiles that are test tiles, with the masks that the network sees there itself (pseudo-labels);
    0 is off. See pipeline/training/pseudo_labels.py."""
    pseudo_from: Share = 0.4
    """Share of the epochs after which they come; never in the first."""
    pseudo_sure: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7
    """Share of the test tiles looked at that is kept: those whose masks are surest, of tiles with salt and of empty
    ones alike."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto`` is bfloat16 on a GPU and on processors with matrix units for it, and float32 elsewhere."""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processes that prepare batches; 1 is a thread of the training's own, 0 chooses: 1 where no GPU is, else the cores
    less one."""
    tensorboard: bool = False
    """Leave TensorBoard logs beside the fold's weights; needs the package tensorboard."""
    seed: Seed = 0


ViewName = Literal["plain", "flip", "shift", "zoom_in", "zoom_out", "brighter", "darker"]
"""Ways to look at a tile; see pipeline/prediction/views.py for what each does."""


class PredictSettings(Section, frozen=True):
    """Inference on validation and test tiles alike."""

    tta: Annotated[tuple[ViewName, ...], Meta(min_length=1)] = ("plain", "flip")
    """Test-time augmentation: the mean of what the network says to each of these views of a tile, in any order."""
    batch: Count = 64
    """Images a step, each view counting as one."""


Rule = Literal["fill_holes", "drop_small_parts", "constant_empty", "empty_gate"]
"""Rules after the threshold; see pipeline/scoring/postprocess.py for what each does."""


class SubmitSettings(Section, frozen=True):
    """From probabilities to the CSV. ``auto`` means: chosen on out-of-fold predictions."""

    threshold: Annotated[float, Meta(gt=0.0, lt=1.0)] | Literal["auto"] = "auto"
    min_area: Annotated[int, Meta(ge=0, le=TILE * TILE)] | Literal["auto"] = "auto"
    """Smallest predicted mask in pixels that is kept; a smaller one becomes empty."""
    rules: tuple[Rule, ...] | Literal["auto"] = "auto"
    """``auto`` takes those that raise the score of out-of-fold tiles by more than chance; ``[]`` takes none."""
    message: str = ""
    """Added to the submission's message."""


class Settings(Section, frozen=True):
    """Everything that an experiment may set."""

    survey: SurveySettings = SurveySettings()
    split: SplitSettings = SplitSettings()
    input: InputSettings = InputSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()
    submit: SubmitSettings = SubmitSettings()


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where folds run on Ray. Not of an experiment: it changes when a result is there, not the result."""

    address: str = ""
    """Of a running cluster (``auto`` finds the one that this machine belongs to); empty starts one on this machine."""
    cpus_per_fold: int | None = None
    """Cores of one fold; by default as many as let all folds run at once."""
    gpus_per_fold: float | None = None
    """GPUs of one fold, also a share of one; by default one where the cluster has any, else none."""
    store: str = ""
    """fsspec address of the artifacts for machines that do not see the root folder."""


def experiment_names() -> list[str]:
    """Names of the experiments that ship with the project, sorted."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.toml"))


def all_experiment_names() -> list[str]:
    """Names of all experiments, those of the ladder included, sorted."""
    return sorted(path.stem for path in EXPERIMENTS.rglob("*.toml"))


def experiment_path(experiment: str) -> Path:
    """The TOML file of an experiment, which may not exist; those of the ladder lie in a folder of their own."""
    ladder = EXPERIMENTS / "ladder" / f"{experiment}.toml"
    return ladder if ladder.is_file() else EXPERIMENTS / f"{experiment}.toml"


def load(experiment: str = DEFAULT_EXPERIMENT, overrides: list[str] | None = None) -> Settings:
    """Settings of an experiment.

    Args:
        experiment: name of a file in ``pipeline/experiments``, without ``.toml``.
        overrides: assignments such as ``"train.epochs=5"``; the value is a TOML literal, a bare word, or a list of
            bare words. A setting whose type is text takes the text as it is, or what a TOML string holds.

    Returns:
        The resolved, validated settings.

    Raises:
        UserError: the experiment is unknown, its file is not TOML, or a key or value is not allowed.

    Example:
        >>> load("unet", ["train.epochs=5"]).train.epochs
        5
    """
    tree: dict[str, Any] = {}
    settings = Settings()
    for path, own in reversed(_lineage(experiment)):
        _merge(tree, own)
        settings = _convert(tree, str(path))
    for assignment in overrides or []:
        _assign(tree, assignment)
        settings = _convert(tree, f"--set {assignment[:80]}")
    # Only now: of two assignments that go together, the first alone may be against the rules.
    if contradiction := _contradiction(settings.train, settings.network):
        raise UserError(f"experiment {experiment}: {contradiction}")
    return settings


def _lineage(experiment: str) -> list[tuple[Path, dict[str, Any]]]:
    """An experiment's file and what stands in it, then those of its base, and so on."""
    found: dict[Path, dict[str, Any]] = {}
    name: Any = experiment
    while name is not None:
        path, tree = _read(name, named_by=list(found)[-1] if found else None)
        if path in found:
            raise UserError(f"{path}: base = {name!r} leads back to the experiment itself; leave it out")
        name = tree.pop("base", None)
        if name is not None and not isinstance(name, str):
            raise UserError(f'{path}: base = {name!r}: write the name of an experiment, such as base = "unet"')
        found[path] = tree
    return list(found.items())


def _read(experiment: str, named_by: Path | None) -> tuple[Path, dict[str, Any]]:
    """An experiment's file and what stands in it; ``named_by`` is the file that has it as its base."""
    where = f"{named_by}: base = {experiment!r}: " if named_by else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", experiment):
        stem = experiment.rsplit("/", 1)[-1].removesuffix(".toml")
        hint = f"; write {stem}" if stem != experiment and stem in experiment_names() else ""
        raise UserError(f"{where}experiment {experiment!r}: a name is made of letters, digits, '-' and '_'{hint}")
    path = experiment_path(experiment)
    if not path.is_file():
        known = all_experiment_names()
        raise UserError(
            f"{where}there is no experiment {experiment!r}{_nearest(experiment, known)}; "
            f"there are: {', '.join(experiment_names())} (add one as pipeline/experiments/{experiment}.toml)"
        )
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, a number or a nesting beyond all measure
        raise UserError(f"{path}: not valid TOML: {error}") from None


def _merge(tree: dict[str, Any], own: dict[str, Any]) -> None:
    """Put an experiment's values over its base's, setting by setting."""
    for section, values in own.items():
        below = tree.get(section)
        tree[section] = {**below, **values} if isinstance(below, dict) and isinstance(values, dict) else values


def blend(members: dict[str, Settings], overrides: list[str] | None = None) -> Settings:
    """Settings of a blend: how its members split, and how masks are made of their mean.

    Args:
        members: name and settings of each experiment.
        overrides: those of the section ``submit`` hold; a member's own settings of that section do not.

    Raises:
        UserError: the members split differently, so that no tile was out of fold for all of them.
    """
    (first, base), *others = members.items()
    for name, settings in others:
        for section in ("survey", "split"):
            apart = diff(as_dict(getattr(base, section)), as_dict(getattr(settings, section)), section)
            for key, (one, other) in apart.items():
                raise UserError(
                    f"{first} and {name} cannot be blended: {key} is {one} in {first} and {other} in {name}; "
                    f"give them the same, for example --set {key}={one}"
                )
    tree: dict[str, Any] = {}
    for assignment in overrides or []:
        if assignment.strip().startswith("submit."):
            _assign(tree, assignment)
    return msgspec.structs.replace(_convert(tree, "--set"), survey=base.survey, split=base.split)


def as_dict(settings: Section) -> dict[str, Any]:
    """Settings as plain nested dicts, lists, numbers and strings, in declaration order."""
    # By way of JSON, so that what comes from a manifest compares equal (a tuple becomes a list).
    return msgspec.json.decode(msgspec.json.encode(settings))


def differences(settings: Settings, base: Settings | None = None) -> dict[str, tuple[Any, Any]]:
    """Settings that differ from ``base`` (by default, the defaults): dotted key -> (base value, value)."""
    return diff(as_dict(base or Settings()), as_dict(settings))


def diff(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """What differs between two trees of plain values: dotted key -> (old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in dict.fromkeys([*old, *new]):
            found.update(diff(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key)))
        return found
    return {} if old == new else {prefix: (old, new)}


def fingerprint(value: Any) -> str:
    """A short hash of plain nested values: the same values give the same 16 hexadecimal digits."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:16]


def to_toml(settings: Settings) -> str:
    """The resolved settings as TOML text that ``tomllib`` reads back."""
    import json

    lines: list[str] = []
    for section, values in as_dict(settings).items():
        lines.append(f"[{section}]")
        # Numbers, booleans, flat lists and ASCII-escaped strings are written alike in JSON and TOML.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _convert(tree: dict[str, Any], where: str) -> Settings:
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(str(error), typed=where.startswith('--set'))}") from None
    for key in ("augment.scale", "augment.gamma_limit"):
        section, name = key.split(".")
        low, high = getattr(getattr(settings, section), name)
        if low > high:
            raise UserError(f"{where}: {key} = [{low}, {high}]: the first value must not be larger than the second")
    views = _in_order(settings.predict.tta, ViewName, "predict.tta", where)
    predict = msgspec.structs.replace(settings.predict, tta=views)
    submit = settings.submit
    if submit.rules != "auto":
        submit = msgspec.structs.replace(submit, rules=_in_order(submit.rules, Rule, "submit.rules", where))
    return msgspec.structs.replace(settings, predict=predict, submit=submit)


def _in_order(names: tuple[str, ...], known: Any, key: str, where: str) -> tuple[Any, ...]:
    """Names in the order in which a Literal lists them, so that naming them in another order asks for the same."""
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UserError(f"{where}: {key} names {twice[0]!r} more than once; name each once")
    return tuple(name for name in get_args(known) if name in names)


def _contradiction(train: TrainSettings, network: NetworkSettings) -> str:
    """What settings that are allowed one by one do not allow together; an empty string where nothing is."""
    cyclical = train.schedule == "cosine_restarts"
    if cyclical and train.cycles > train.epochs:
        return f"train.cycles = {train.cycles} needs at least as many train.epochs, not {train.epochs}"
    if train.snapshots > (train.cycles if cyclical else 1):
        most = f"at most train.cycles = {train.cycles}" if cyclical else "train.schedule=cosine_restarts"
        return f"train.snapshots = {train.snapshots} needs {most}: a snapshot is the best epoch of a cycle"
    if train.snapshots > 1 and train.early_stopping:
        return "train.snapshots needs train.early_stopping=0: each cycle must come to its end"
    if train.swa_from and train.ema:
        return "train.swa_from and train.ema are two averages of the weights; set one of them to 0"
    if train.swa_from and train.snapshots > 1:
        return (
            "train.swa_from averages over the cycles that train.snapshots keeps apart; set it to 0, or snapshots to 1"
        )
    if train.pseudo_share and max(1, math.ceil(train.pseudo_from * train.epochs)) >= train.epochs:
        return (
            f"train.pseudo_share: none of {train.epochs} epochs comes after train.pseudo_from = {train.pseudo_from} of "
            "them and the first; lower it, or take more train.epochs"
        )
    if "weighted_border" in (train.loss, train.late_loss) and (network.empty_head or network.deep_supervision):
        return (
            "the loss weighted_border weighs pixels of the mask alone; "
            "set network.empty_head and network.deep_supervision to 0, or take another loss"
        )
    return ""


def split_assignments(text: str) -> list[str]:
    """Several assignments in one text, as make's ``SET`` holds them: split only before the next ``section.key=``.

    A value may hold spaces, such as ``submit.message``, or a list; in double quotes it may hold an assignment, too.
    """
    sections = "|".join(Settings.__struct_fields__)
    found, begin = [], 0
    for gap in re.finditer(rf"\s+(?=(?:{sections})\.\w+\s*=)", text):
        if text.count('"', 0, gap.start()) % 2 == 0:
            found.append(text[begin : gap.start()])
            begin = gap.end()
    return [each.strip() for each in (*found, text[begin:]) if each.strip()]


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot or not name:
        raise UserError(f"--set {assignment}: write it as section.key=value, for example --set train.epochs=5")
    text = text.strip()
    branch = tree.setdefault(section, {})
    if _takes_text(section, name):
        branch[name] = _unquoted(text)
        return
    try:
        branch[name] = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        branch[name] = _bare(text)


def _takes_text(section: str, name: str) -> bool:
    """Whether a setting may be any text, such as a message or a path."""
    known = getattr(Settings(), section, None)
    return isinstance(known, Section) and get_type_hints(type(known)).get(name) is str


def _unquoted(text: str) -> str:
    """The content of a TOML string, where the whole text is one; else the text as it was typed."""
    try:
        # Inside of brackets, so that a comment behind the string is no TOML.
        parsed = tomllib.loads(f"value = [{text}]")
    except (ValueError, RecursionError):
        return text
    match parsed:
        case {"value": [str(value)]} if len(parsed) == 1 and text[:1] == text[-1:]:
            return value
    return text


def _bare(text: str) -> str | list[str]:
    """A word, or words in brackets, whose quotation marks a shell may have taken away: ``[plain,flip]``."""
    inside = re.fullmatch(r"\[\s*([A-Za-z_][\w-]*(?:\s*,\s*[A-Za-z_][\w-]*)*)\s*\]", text)
    return re.split(r"\s*,\s*", inside.group(1)) if inside else text


def _explain(error: str, typed: bool) -> str:
    """msgspec's message, with the key in the form that the user typed and the nearest known name.

    ``typed`` on the command line, where several settings stand in one text, not in a file.
    """
    path = re.search(r" - at `\$\.?([^`]*)`", error)
    place = path.group(1) if path else ""
    message = re.sub(r" - at `[^`]*`", "", error).replace("`", "'")
    unknown = re.search(r"unknown field '([^']*)'", message)
    if unknown:
        name = unknown.group(1)
        section = getattr(Settings(), place, None) if place else Settings()
        known = list(section.__struct_fields__) if isinstance(section, msgspec.Struct) else []
        dotted = f"{place}.{name}" if place else name
        near = _nearest(name, known, f"{place}." if place else "")
        return f"there is no setting {dotted!r}{near}; known here: {', '.join(known)}"
    if message.startswith("Invalid enum value"):
        section, name = place.partition("[")[0].split(".")
        allowed = _words(get_type_hints(type(getattr(Settings(), section)))[name])
        word = message.removeprefix("Invalid enum value ")
        if word in allowed:
            return f"{place}: {word} is one of a list; write it in brackets: {place}=[{word[1:-1]}]"
        message = f"{word} is not one of {', '.join(allowed)}"
    message = message.replace("Expected 'bool'", "Expected true or false").replace("'object'", "a section of settings")
    if message.startswith("Expected 'array', got"):
        message += f"; write a list in brackets: {place}=[...]"
    elif typed and message.endswith("got 'str'"):
        message += " (several settings are separated by spaces: train.epochs=5 train.batch=16)"
    return f"{place}: {message}" if place else message


def _words(hint: Any) -> list[str]:
    """The words that a type allows: those of its Literals, however deep."""
    if get_origin(hint) is Literal:
        return [repr(word) for word in get_args(hint)]
    return [word for part in get_args(hint) for word in _words(part)]


def _nearest(name: str, known: list[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {prefix + close[0]!r}?)" if close else ""
