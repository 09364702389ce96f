"""A small comparison of untrained networks, computed once."""

import copy

import pytest
import torch

from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.planning import plan_jobs
from saq_eval.evaluation.running import run
from tests.evaluation.made import SUBJECTS, make_settings, make_shared


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
    shared, clock, finished = make_shared(digits, settings, networks), Clock(), []
    grid = run(SUBJECTS, shared, jobs, policy="label", workers=1, clock=clock, on_job=finished.append)
    assert finished == [job for wave in jobs for job in wave]
    assert {"prediction", "attribution", "localisation", "similarity"} <= clock.seconds.keys()
    return grid
