"""What is planted in members, and what answers find of it: effects, readings, selection, race data, churn, break."""

from __future__ import annotations

import numpy as np
from member_extracts import Extract, Found, found, share
from p4equity.disparity.composition import age_counts
from p4equity.evaluation.context import POINTS
from p4equity.evaluation.retention import members_and_stayed
from p4equity.summaries.cell_precision import precision_table
from p4equity.synthetic.truth import DifferentialChurn
from p4equity.synthetic.truth_record import attenuation

SIDES = {"gap": "effect_gap", "reference_rate": "effect_reference", "group_rate": "effect_group"}
STEADY = ("CBP", "COL_50_75")  # measures with three contracted systems or more


def effects(clean: Extract) -> list[Found]:
    """Effects of contracts on both sides of each gap."""
    out, expected = [], {(e["measure_id"], e["group"]): e for e in clean.truth["expected"] if e["cohort"] == 2023}
    answers = clean.answers("measure")
    for measure in clean.study.measure_ids("contracted"):
        for side, key in SIDES.items():
            planted = float(np.mean([expected[measure, g][key] for g in clean.groups_behind(measure)]))
            if (measure, side, "pooled") in answers:
                answer = answers[measure, side, "pooled"]
                out.append(found("effects", f"{measure} {side}", planted, answer["estimate"], answer["std_error"]))
    return out


def spending(raised: Extract, plain: Extract) -> list[Found]:
    """The effect on spending: alone, and beside the same members without it."""
    own, base = (next(r for k, r in e.answers("spending").items() if k[1] == "spending") for e in (raised, plain))
    planted = raised.truth["spending_effects"][0]["usd_pmpm"]
    return [
        found("spending", "USD a member and month", planted, own["estimate"], own["std_error"]),
        found("spending", "the same, beside the same members without", planted, own["estimate"] - base["estimate"]),
    ]


def documentation(clean: Extract, more: Extract) -> list[Found]:
    """More readings: parts of the change by source, with and without them; the gate."""
    parts = [{k: r["estimate"] for k, r in e.answers("documentation").items()} for e in (clean, more)]
    groups = more.groups_behind("CBP")
    asked = {"measures": ("CBP",)}
    gaps = [e.answers("measure", **asked)["CBP", "gap", "pooled"]["estimate"] for e in (clean, more)]
    predicted = more.predicted("measure", "CBP", groups)
    moved = {k: parts[1][k] - parts[0][k] for k in parts[0].keys() & parts[1].keys()}
    out = [
        found("documentation_gain", "CBP gap", predicted, gaps[1] - gaps[0]),
        found("documentation_gain", "CBP gap_from_readings", predicted, moved["CBP", "gap_from_readings", "pooled"]),
        found("documentation_gain", "CBP gap_from_control", 0.0, moved["CBP", "gap_from_control", "pooled"]),
        found("documentation_gain", "gate", 1.0, "reading_completeness" in more.failed_gates()),
    ]
    for measure in ("CBP", "HBD_CTRL"):
        gained = _readings_gained(clean, measure)
        own = {p: moved[measure, f"rate_from_{p}", "all"] for p in ("readings", "control")}
        out.append(found("documentation_gain", f"{measure} rate_from_readings", gained, own["readings"]))
        out.append(found("documentation_gain", f"{measure} rate_from_control", 0.0, own["control"]))
    return out


def _readings_gained(clean: Extract, measure: str) -> float:
    """Points that the added readings bring: each group's gain times its share controlled, by members, systems alike."""
    study, cell = clean.study, clean.context.rows(clean.context.cell, (clean.study.population.map, "frozen"))
    points = clean.planted.truth.documentation_gain[measure]
    contracts = study.contract_matrix()
    systems = set(contracts.loc[(contracts["measure_id"] == measure) & (contracts["cohort"] == study.launch_cohort), "system_id"])
    values = []
    for system in systems:
        left = study.exit_year(system) or study.years[-1] + 1
        own = cell[(cell["system_id"] == system) & (cell["measure_id"] == measure)]
        own = own[(own["year"] >= study.launch_cohort) & (own["year"] < left)]
        by = own.groupby("group")[["den", "num", "with_reading"]].sum()
        gain = by.index.map(points).to_numpy(float) * by["num"] / by["with_reading"]
        values.append(float((gain * by["den"]).sum() / by["den"].sum()))
    return float(np.mean(values))


def race_drift(drifted: Extract) -> list[Found]:
    """Self-report that jumps at participating systems: shift of the gap by contemporaneous classes; shares; the gate."""
    shifts, predicted = [], []
    frozen, contemporaneous = (
        drifted.answers(name, groups="each", inference=("averaged_t",)) for name in ("group", "sensitivity_race_version")
    )
    for measure in STEADY:
        for group in drifted.study.groups.compared:
            keys = (measure, "gap", group)
            if keys in frozen and keys in contemporaneous:
                shifts.append(contemporaneous[keys]["estimate"] - frozen[keys]["estimate"])
                predicted.append(drifted.predicted("sensitivity_race_version", measure, [group]))
    out = [
        found("race_data_drift", "gap by contemporaneous classes", float(np.mean(predicted)), float(np.mean(shifts))),
        found("race_data_drift", "gate", 1.0, "race_data_drift" in drifted.failed_gates()),
    ]
    model, drift = drifted.planted.truth.race, drifted.planted.truth.race_drift
    assert model is not None
    assert drift is not None
    arms = np.array([s.arm for s in drifted.study.systems] + ["outside"])
    told = drifted.table("race_ethnicity")
    told = told[told["version"].isin(model.self_report)].assign(
        arm=lambda d: d["member_id"].map(drifted.homes().map(dict(enumerate(arms))))
    )
    for (version, arm), own in told.groupby(["version", "arm"]):
        jumped = drift.self_report if arm == "participating" else {}
        planted, said = jumped.get(version, model.self_report[version]), own["source"].str.startswith("self_report")
        out.append(share("race_data_drift", f"self-report {version} {arm}", planted, said.sum(), len(own)))
    return out


def race_error(wrong: Extract) -> list[Found]:
    """Gap by contemporaneous classes over the gap by frozen ones, members of all systems and measures; by version."""
    study, out = wrong.study, []
    race, factor = study.race, attenuation(wrong.study, wrong.plan)
    assert race is not None
    frozen, used = (wrong.context.panel((study.population.map, v)) for v in ("frozen", "contemporaneous"))
    for version in dict.fromkeys(race.contemporaneous_versions[y] for y in study.years):
        years = [t for t, y in enumerate(study.years) if race.contemporaneous_versions[y] == version]
        sums = np.zeros(2)
        for measure in study.measure_sets.contracted:  # others have cells of frozen classes alone
            for group in study.groups.compared:
                at = [(p.index(measure, str(study.groups.reference)), p.index(measure, group)) for p in (frozen, used)]
                den, num = (
                    np.array(
                        [[getattr(p, part)[:, i][:, years] for i in pair] for p, pair in zip((frozen, used), at, strict=True)]
                    )
                    for part in ("den", "num")
                )  # (version, side, system, year)
                rate = num / np.maximum(den, 1)
                weight = np.where((den > 0).all(axis=(0, 1)), den[0, 1], 0.0)
                sums += (weight * (rate[:, 0] - rate[:, 1])).sum(axis=(1, 2))
        out.append(found("race_error", f"attenuation {version}", float(factor[:, years].mean()), sums[1] / sums[0]))
    return out


def specification_break(broken: Extract, whole: Extract) -> list[Found]:
    """The jump of each gap in the first year of new ages: as planted where rates differ there, none where they do not."""
    out = []
    for extract, feature in ((broken, "spec_break"), (whole, "spec_break off")):
        item = next(s for s in extract.plan.streams if s.id == "COL")
        groups = list(extract.study.scheme.ids)
        order = [s.id for s in extract.study.systems]
        panel = extract.context.panel((extract.study.population.map, "frozen"))
        wanted = [i for i, s in enumerate(panel.systems) if next(x.arm for x in extract.study.systems if x.id == s) != "excluded"]
        at, t = [order.index(panel.systems[i]) for i in wanted], panel.years.index(2022)
        jump = {}
        for group in extract.study.group_ids:
            k, (new, old) = groups.index(group), (panel.index(m, group) for m in ("COL", "COL_50_75"))
            both, twin = panel.den[wanted, new, t], panel.den[wanted, old, t]
            rate = item.rate[:, at, k, t]
            total = (twin * rate[0] + (both - twin) * rate[-1]).sum() / both.sum()
            jump[group] = POINTS * float(total - (twin * rate[0]).sum() / twin.sum())
        rows = extract.answers("specification_break")
        for (_, _, group), row in rows.items():
            planted = jump[str(extract.study.groups.reference)] - jump[group]
            out.append(found(feature, f"jump of the gap, {group}", planted, row["estimate"], row["std_error"]))
    return out


def churn(leaving: Extract, staying: Extract) -> list[Found]:
    """Members who do worse leave: the open cohort's gaps beside the same members who stay, and what other cohorts keep of it."""
    model, out = leaving.planted.truth.differential_churn, []
    assert model is not None
    for measure in ("COL_50_75", "WCV"):
        bias = _bias_of_leaving(model, staying, measure)
        for members in ("open", "stayed", "stayed_weighted", "age_standardized"):
            asked = {"members": members, "measures": (measure,), "inference": ("averaged_t",)}
            one, two = (e.answers("measure", **asked)[measure, "gap", "pooled"]["estimate"] for e in (staying, leaving))
            planted = 0.0 if members.startswith("stayed") else bias
            out.append(found("differential_churn", f"{measure} gap, {members}", planted, two - one))
    asked = {"measures": ("COL_50_75", "WCV")}
    rows = [
        {k: r for k, r in e.answers("differential_churn", **asked).items() if k[1] == "retention"} for e in (staying, leaving)
    ]
    both = sorted(rows[0].keys() & rows[1].keys())
    change = [rows[1][k]["estimate"] - rows[0][k]["estimate"] for k in both]
    expected = [_driven_away(model, staying, measure, group) for measure, _, group in both]
    return [*out, found("differential_churn", "staying, reference less groups", float(np.mean(expected)), float(np.mean(change)))]


def _years_of(extract: Extract, measure: str) -> dict[str, int]:
    """Contracted systems of a measure, and their years under contract."""
    study = extract.study
    matrix = study.contract_matrix()
    own = matrix[(matrix["measure_id"] == measure) & (matrix["cohort"] == study.launch_cohort)]["system_id"]
    return {s: sum(study.launch_cohort <= y < (study.exit_year(s) or y + 1) for y in study.years) for s in own}


def _driven_away(model: DifferentialChurn, staying: Extract, measure: str, group: str) -> float:
    """Points by which a group's staying falls: of those who would stay, the worse part less what each year leaves of it."""
    context = staying.context
    variant = (staying.study.population.map, "frozen")
    panel = context.panel(variant)
    counts = age_counts(panel, context.rows(context.ages, variant))
    members, stayed = members_and_stayed(context, panel, counts, measure, group)
    lost = []
    for system, years in _years_of(staying, measure).items():
        s = panel.systems.index(system)
        lost.append(stayed[s, 1] / members[s, 1] * model.low * (1 - (1 - model.leave) ** years))
    return POINTS * float(np.mean(lost))


def _bias_of_leaving(model: DifferentialChurn, staying: Extract, measure: str) -> float:
    """Rate of those left less that of all, averaged over groups, systems and their years under contract; as in test_churn."""
    turnover = staying.planted.truth.population.turnover
    panel = staying.context.panel((staying.study.population.map, "frozen"))
    pre = np.isin(panel.years, staying.study.baseline.pre_years)
    kept = []
    for year in range(1, 4):
        risk = [turnover * (1 - turnover) ** (k - 1) for k in range(1, year)]
        risk.append(1 - sum(risk))
        kept.append(sum(part * (1 - model.leave) ** k for k, part in enumerate(risk, 1)))
    changes, low = [], model.low
    for group in staying.groups_behind(measure):
        i = panel.index(measure, group)
        p = panel.num[:, i][:, pre].sum() / panel.den[:, i][:, pre].sum()
        worse = model.trait * max(0.0, p - (1 - low)) / low + (1 - model.trait) * p
        better = model.trait * min(p, 1 - low) / (1 - low) + (1 - model.trait) * p
        by_year = [((1 - low) * better + low * k * worse) / (1 - low + low * k) - p for k in kept]
        changes.append(np.mean([np.mean(by_year[:years]) for years in _years_of(staying, measure).values()]))
    return -POINTS * float(np.mean(changes))


def persistence(clean: Extract) -> list[Found]:
    """Correlation of a member's results in two years: the planted persistence times the members who stay."""
    study, out = clean.study, []
    years = study.baseline.weights_years[-2:]
    table = precision_table(clean.context).groupby("measure_id")["correlation"].first()
    variant = (study.population.map, "frozen")
    cell, overlap = clean.context.rows(clean.context.cell, variant), clean.context.rows(clean.context.overlap, variant)
    for measure in study.measure_sets.contracted:
        own = overlap[(overlap["measure_1"] == measure) & (overlap["measure_2"] == measure)]
        both = own[(own["year_1"] == years[0]) & (own["year_2"] == years[1])]["den_den"].sum()
        den = cell[(cell["measure_id"] == measure) & cell["year"].isin(years)].groupby("year")["den"].sum()
        planted = float(study.measure(measure).synthetic["persistence"]) * float(both) / float(np.sqrt(den.prod()))
        out.append(found("persistence", measure, planted, float(table[measure])))
    return out
