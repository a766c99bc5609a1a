"""The arguments of `fit` checked before any data is read: types, ranges, words, and what does not go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from p4equity.errors import UsageError, did_you_mean
from p4equity.estimators.tidy import OWN_COLUMNS, WEIGHTS
from p4equity.inference.cluster_robust import DF, SSC
from p4equity.inference.joint import TESTS
from p4equity.inference.two_way import G_DF
from p4equity.inference.wild_bootstrap import P_TYPES, SCHEMES, TYPES
from p4equity.inference.working_model import WORKING_MODELS

WORDS = {
    "wild_weights": SCHEMES, "bootstrap_type": TYPES, "p_type": P_TYPES, "df": DF, "g_df": G_DF, "joint_test": TESTS,
    "working_model": WORKING_MODELS, "weights_type": WEIGHTS,
}  # fmt: skip
WEIGHED_CHANGES = "meta_regression"  # the estimator whose own variance comes from sampling_se


def known(word: object, words: Sequence[str], what: str, where: str) -> None:
    """Raise UsageError with a suggestion unless the word is one of the known ones."""
    if not isinstance(word, str) or word not in words:
        raise UsageError(
            f"unknown {what} '{word}'",
            where=where,
            expected=", ".join(words),
            found="nothing" if word is None else word,
            fix=did_you_mean(str(word), words),
        )


def whole(value: object, name: str, least: int) -> int:
    """The value as a whole number of at least `least`. Raises UsageError for anything else."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    problem = "not a whole number" if not number or float(value) % 1 else "out of range"  # type: ignore[arg-type]
    if problem == "not a whole number" or float(value) < least:  # type: ignore[arg-type]
        raise UsageError(problem, where=f"fit: {name}", expected=f"a whole number >= {least}", found=repr(value))
    return int(value)  # type: ignore[call-overload, no-any-return]


def level(value: object) -> float:
    """The confidence level as a number between 0 and 1."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool) or not 0 < float(value) < 1:
        raise UsageError("out of range", where="fit: conf_level", expected="0 < conf_level < 1, such as 0.95", found=repr(value))
    return float(value)


def columns(value: object) -> tuple[Any, ...]:
    """Covariates as a tuple of columns: one name stands for itself, None for none."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    try:
        names: tuple[Any, ...] = tuple(value)  # type: ignore[arg-type]
    except TypeError as problem:
        found = repr(value)
        raise UsageError("not columns", where="fit: covariates", expected="a list of columns", found=found) from problem
    twice = sorted({str(n) for n in names if names.count(n) > 1})
    if twice:
        raise UsageError("covariates named twice", where="fit: covariates", expected="each once", found=", ".join(twice))
    return names


def clusters(value: object, id: str, module: ModuleType) -> tuple[Any, Any]:
    """The columns of one or two ways of clustering, None for none. module: two ways need its TWO_WAY."""
    if value is None or isinstance(value, str) or not isinstance(value, Sequence):
        return value, None
    names = tuple(dict.fromkeys(map(str, value)))
    if len(names) not in (1, 2) or len(names) < len(value):
        found = ", ".join(map(str, value)) or "an empty list"
        raise UsageError("not one or two clusters", where="fit: cluster", expected="a column, or two different ones", found=found)
    if len(names) == 2 and not getattr(module, "TWO_WAY", False):
        raise UsageError(
            "two-way clustering is not available here",
            where=f"fit: {id}, cluster",
            expected="one column",
            found=", ".join(map(str, names)),
            fix="use did, event_study or triple_difference, or cluster by one column",
        )
    return names[0], names[1] if len(names) == 2 else None


def methods(id: str, module: ModuleType, inference: object, own: Mapping[str, Any], two_way: bool = False) -> tuple[str, ...]:
    """The methods of inference to print, in order; without a list the one `variance` names, or the estimator's first.

    With two ways of clustering the first is cr1.

    module: the estimator, with its INFERENCES (or `inferences`, where they depend on its options) and the VARIANCES among
    them that the option `variance` may name.
    """
    allowed: tuple[str, ...] = module.inferences(own) if hasattr(module, "inferences") else module.INFERENCES
    variances = tuple(v for v in getattr(module, "VARIANCES", ()) if v in allowed)
    variance = str(own["variance"]).lower() if "variance" in own else "cr1" if two_way else allowed[0]
    if "variance" in own:
        known(variance, variances, "variance", f"fit: {id}")
    if inference is None:
        return (variance,)
    given = [inference] if isinstance(inference, str) else inference
    if not isinstance(given, Sequence) or not given:
        found = "an empty list" if isinstance(given, Sequence) else repr(given)
        raise UsageError("no inference", where="fit: inference", expected=f"one or several of: {', '.join(allowed)}", found=found)
    names = tuple(dict.fromkeys(w.lower() if isinstance(w, str) else w for w in given))
    for name in names:
        known(name, allowed, "inference", f"fit: {id}")
    if "variance" in own and (other := [n for n in names if n in variances and n != variance]):
        raise UsageError(
            "variance and inference name different methods",
            where="fit: inference",
            expected=f"{variance}, as variance says",
            found=", ".join(other),
            fix="leave variance out: inference may list several methods",
        )
    return names


def options(own: Mapping[str, Any]) -> dict[str, Any]:
    """The estimator's own options with numbers as whole numbers and words known, whether this call uses them or not."""
    out = dict(own)
    for name in OWN_COLUMNS:
        if name in out and not isinstance(out[name], str):
            raise UsageError("not a column", where=f"fit: {name}", expected="the name of a column", found=repr(out[name]))
    for name, least in (("draws", 1), ("limit", 2)):
        if name in out:
            out[name] = whole(out[name], name, least)
    if "ssc" in out:
        if _is_number(out["ssc"]):
            out["ssc"] = whole(out["ssc"], "ssc", 1)
        else:
            known(out["ssc"], SSC, "ssc", "fit: ssc")
    if _is_number(out.get("bootstrap_type")):
        out["bootstrap_type"] = f"{out['bootstrap_type']:g}"
    for name, words in WORDS.items():
        if name in out:
            known(out[name], words, name, f"fit: {name}")
    if not isinstance(out.get("vcov_fix", False), bool):
        raise UsageError("not a yes or no", where="fit: vcov_fix", expected="True or False", found=repr(out["vcov_fix"]))
    return out


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def together(id: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError for arguments that have no meaning without, or beside, another."""
    if given["reference"] is not None and given["group"] is None:
        raise UsageError(
            "a reference without a group",
            where="fit: reference",
            expected="group, the column that holds it",
            found="no group",
            fix="add group, or leave reference out",
        )
    if given["sampling_se"] is not None and id != WEIGHED_CHANGES:
        raise UsageError(
            "sampling_se has no part in this estimator",
            where="fit: sampling_se",
            expected="nothing",
            found=given["sampling_se"],
            fix=f"use {WEIGHED_CHANGES}, or pass cell counts as weights",
        )
