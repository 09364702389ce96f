"""A small comparison of untrained networks, computed once."""

import copy

import pytest
import torch

from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.planning import plan_jobs
from tests.evaluation.made import SUBJECTS, make_settings, make_shared, run_jobs


@pytest.fixture(scope="package")
def networks(small_cnn):
    def shaken(seed):
        network = copy.deepcopy(small_cnn)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.3 * parameter.std().nan_to_num() * torch.randn(parameter.shape, generator=generator)
        return network

    return {identity: shaken(seed) for seed, identity in enumerate("abcdefg")}


@pytest.fixture(scope="package")
def done(networks, digits, tmp_path_factory):
    settings = make_settings(digits, tmp_path_factory.mktemp("maps"))
    jobs = plan_jobs(SUBJECTS, settings, "label")
    clock, finished = Clock(), []
    grid = run_jobs(make_shared(digits, settings, networks), jobs, clock, lambda *step: finished.append(step))
    done = [(f"{job.subject.name} {job.method}", job.passes) for wave in jobs.waves for job in wave]
    assert [passes for _, passes in finished[: len(networks)]] == [20 / 6] * len(networks)  # predictions of 20 images
    assert finished[len(networks) :] == done
    assert {"prediction", "attribution", "localisation", "similarity"} <= clock.seconds.keys()
    return grid
