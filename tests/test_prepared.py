"""A comparison that is set up: what it holds, and what it leaves behind."""

import json
from dataclasses import replace

import pytest

from saq_eval import SaqEvalError
from saq_eval.evaluation.executors import Here, Processes
from saq_eval.evaluation.plan import Plan
from saq_eval.prepared import ready_for
from saq_eval.reporting.holding import held

PLAN = Plan("digits", models=["cnn-w2a2"], methods=["saliency"], metrics=["SSIM"], samples=2, progress=False)


def test_nothing_is_written_for_a_plan_that_is_refused(tmp_path):
    plan = replace(PLAN, metrics=["SIM"], output=tmp_path / "new")
    with pytest.raises(SaqEvalError, match="unknown metric 'SIM'"), ready_for(plan, tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("workers", "kind"), [(1, Here), (2, Processes)])
def test_what_computes_follows_from_the_plan(workers, kind, tmp_path):
    output = tmp_path / "out"
    with ready_for(replace(PLAN, workers=workers, output=output), output) as ready:
        assert isinstance(ready.how.executor, kind) and ready.how.executor.workers == workers
        assert ready.shared.settings.store == output / "store" and ready.holds_output
    assert [path.name for path in output.iterdir()] == ["store"]  # the folder is no longer held


def test_without_an_output_folder_the_store_is_temporary():
    with ready_for(PLAN, None) as ready:
        folder = ready.shared.settings.store
        assert (folder / "store.json").exists()
        ready.note({"kind": "cells"})
    assert not folder.exists()


def test_runs_note_what_they_need_and_the_whole_takes_the_place_of_its_parts(tmp_path):
    def notes():
        return {json.loads(path.read_text())["output"] for path in (tmp_path / "store" / "runs").glob("*.json")}

    plan = replace(PLAN, output=tmp_path)
    for number in (1, 2):
        with ready_for(plan, tmp_path, part=(number, 2)) as ready:
            ready.note({"kind": "cells"})
    assert notes() == {f"{tmp_path}, part 1 of 2", f"{tmp_path}, part 2 of 2"}
    with ready_for(plan, tmp_path) as ready:
        ready.note({"kind": "cells"}, {"kind": "maps"})
    assert notes() == {str(tmp_path)}


def test_who_joins_writes_only_if_the_other_has_ended(tmp_path):
    with held(tmp_path, join=False):
        with pytest.raises(SaqEvalError, match="is being written by process"), ready_for(PLAN, tmp_path):
            pass
        with ready_for(replace(PLAN, output=tmp_path, join=True), tmp_path) as ready:
            assert not ready.holds_output
            with ready.output_held() as ours:
                assert not ours
    with ready.output_held() as ours:
        assert ours


def test_the_bar_counts_the_passes_of_what_is_computed(tmp_path):
    totals = []
    for part in (None, (1, 2), (2, 2)):
        with ready_for(replace(PLAN, progress=True), tmp_path, part=part) as ready:
            jobs = [job for wave in ready.jobs.waves for job in wave]
            with ready.progress() as on_step:
                bar = on_step.__closure__[0].cell_contents
                totals.append(bar.total)
    assert totals[0] == pytest.approx(totals[1] + totals[2]) and totals[0] > sum(job.passes for job in jobs)
