"""The page of one experiment, or of a blend: its score, where points are lost, tiles, curves, rules and settings."""

from __future__ import annotations

from typing import Any

from pipeline.config import as_dict
from pipeline.reporting import checks, experiment_charts, galleries, groups, pages, tile_images
from pipeline.reporting.experiment import Experiment
from pipeline.reporting.settings import changed_rows, marked_epoch
from pipeline.scoring import metric
from pipeline.scoring.postprocess import PostProcessing

LEADERBOARD = "../../../../submissions/leaderboard.html"
"""Address of the leaderboard from the experiment's folder."""


def page(experiment: Experiment) -> str:
    """The experiment's page as HTML."""
    cv, scores = experiment.result["cv"], experiment.tiles.scores
    coverage = groups.by_coverage(scores)
    how = PostProcessing(cv["threshold"], cv["min_area"], tuple(cv["rules"]), cv["gate"])
    return pages.render(
        "experiment",
        title=f"{experiment.name} on {experiment.dataset}",
        leaderboard=LEADERBOARD,
        score=_score(experiment),
        warnings=warnings(experiment.result),
        headline=_headline(experiment.result),
        lost=sum(each.points for each in coverage),
        shares=_shares(coverage),
        coverage=coverage,
        depth=groups.by_depth(scores),
        confusion=_confusion(experiment),
        galleries=galleries.draw(experiment.tiles, how),
        colours={"truth": tile_images.MISSED, "invented": tile_images.INVENTED},
        show=experiment.show,
        folds=[fold_row(experiment, fold) for fold in experiment.result["folds"]],
        curves=experiment_charts.learning_curves(experiment),
        threshold=experiment_charts.threshold_and_reliability(experiment),
        rules=_rules(cv["gains"]),
        members=member_rows(experiment),
        member_links=["", *(f"../{name}/report.html" for name in experiment.members)],
        changed=changed_rows(experiment.settings),
        settings=setting_rows(experiment),
        provenance=[{"what": name, "value": value} for name, value in experiment.provenance.items()],
        command=experiment.command,
    )


def _score(experiment: Experiment) -> dict[str, Any]:
    """The score and what it is compared with."""
    cv = experiment.result["cv"]
    return {
        "score": cv["score"],
        "low": cv["interval"][0],
        "high": cv["interval"][1],
        "nothing": experiment.nothing,
        "half": cv["score_at_half"],
        "without_rules": cv["score_without_rules"],
        "gate": cv["gate"],
        "tiles": cv["tiles"],
        "folds": experiment.result["folds"],
    }


def warnings(result: dict[str, Any]) -> list[str]:
    """Warnings about a validation, without "warning:"."""
    found = checks.of_score(result["cv"])
    if member := checks.sole_member(result["votes"]):
        found.append(f"this blend is {member} alone; it has no CSV and no row in the leaderboard")
    return found


def _headline(result: dict[str, Any]) -> dict[str, Any]:
    """The most important figures after the score."""
    cv, training = result["cv"], result["training"]
    return {
        "threshold": round(cv["threshold"], 3),
        "smallest area": f"{cv['min_area']:,} pixels",
        "rules": ", ".join(cv["rules"]) or "none",
        "IoU": cv["iou"],
        "Dice": cv["dice"],
        "empty accuracy": cv["empty_accuracy"],
        "parameters": training["parameters"],
        "training minutes": training["minutes"],
        "tiles/s in training": training["tiles_per_second"],
        "backend": training["backend"],
    }


def _shares(coverage: list[groups.Loss]) -> list[dict[str, Any]]:
    """Points lost on empty tiles and slivers, with links to their galleries, and on all other tiles."""
    names = {"empty": ("empty tiles", galleries.FALSE_ALARMS), "to 10 %": ("slivers", galleries.SLIVERS)}
    shares = [
        {"label": names[each.name][0], "link": names[each.name][1], "points": each.points}
        for each in coverage
        if each.name in names and each.points
    ]
    rest = sum(each.points for each in coverage if each.name not in names)
    return shares + ([{"label": "all other tiles", "link": galleries.WORST, "points": rest}] if rest else [])


def _confusion(experiment: Experiment) -> list[dict[str, Any]]:
    """Tiles with and without salt, by what was predicted."""
    scores = experiment.tiles.scores
    counts = metric.empty_confusion(scores["predicted"].to_numpy() > 0, scores["coverage"].to_numpy() > 0)
    return [
        {"truth": name, "predicted empty": int(row[0]), "predicted salt": int(row[1])}
        for name, row in zip(("empty", "salt"), counts, strict=True)
    ]


def fold_row(experiment: Experiment, fold: int) -> dict[str, Any]:
    """A fold's score and tiles; of a trained fold, also its epochs and time."""
    scores = experiment.tiles.scores[experiment.tiles.scores["fold"] == fold]
    row = {
        "fold": fold,
        "CV": float(scores["score"].mean()),
        "tiles": len(scores),
        "empty": float((scores["coverage"] == 0).mean()),
        "mean coverage": float(scores["coverage"].mean()),
        "median depth": float(scores["depth"].median()),
    }
    if experiment.members:
        return row
    trained = experiment.training.get(fold, {})
    return row | {
        f"{marked_epoch(experiment.settings.train)} epoch": trained.get("best_epoch"),
        "epochs": trained.get("epochs"),
        "minutes": round(trained["seconds"] / 60, 1) if trained else None,
    }


def _rules(gains: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "rule": each["rule"],
            "taken": "yes" if each["taken"] else "no",
            "gain": each["gain"],
            "95 % interval": f"{each['low']:+.4f} to {each['high']:+.4f}",
        }
        for each in gains
    ]


def member_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """Of a blend: the score and the weight of each member."""
    if not experiment.members:
        return []
    votes, score = experiment.result["votes"], experiment.result["cv"]["score"]
    total = sum(votes.values())
    rows: list[dict[str, Any]] = [{"experiment": experiment.name, "weight": None, "CV": score}]
    return rows + [
        {"experiment": name, "weight": votes[name] / total, "CV": alone} for name, alone in experiment.members.items()
    ]


def setting_rows(experiment: Experiment) -> list[dict[str, str]]:
    """All settings; of a blend, only those that apply to it, since its members' pages have the others."""
    settings = experiment.settings
    sections = ("split", "submit") if experiment.members else settings.__struct_fields__
    return [
        {"setting": f"{section}.{key}", "value": str(value)}
        for section, values in as_dict(settings).items()
        if section in sections
        for key, value in values.items()
    ]
