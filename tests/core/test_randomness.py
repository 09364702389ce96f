import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.core.randomness import check_seed, derived_seed, deterministic, global_seed


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_seeds(seed):
    check_seed(seed)
    torch.Generator().manual_seed(seed)
    np.random.RandomState(seed)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "0", None])
def test_what_is_no_seed(seed):
    with pytest.raises(SaqEvalError, match="a seed is a whole number from 0 to 4294967295, not "):
        check_seed(seed)


def test_a_derived_seed_depends_on_what_it_is_for():
    # Stored results rest on these numbers.
    assert derived_seed(0, "smoothgrad", 17) == 2794374389
    purposes = (("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 1, 2))
    seeds = {derived_seed(seed, *purpose) for seed in range(20) for purpose in purposes}
    assert len(seeds) == 100 and all(0 <= seed < 2**32 for seed in seeds)


def test_the_global_generators_are_seeded_and_given_back():
    def draws():
        return torch.rand(3).tolist(), np.random.rand(3).tolist()

    torch.manual_seed(1)
    np.random.seed(1)
    expected = [draws() for _ in range(2)]
    torch.manual_seed(1)
    np.random.seed(1)
    first = draws()
    with global_seed(5):
        inside = draws()
    with global_seed(5):
        assert draws() == inside
    with pytest.raises(KeyError), global_seed(6):
        assert draws() != inside
        raise KeyError
    assert [first, draws()] == expected


def test_threads_are_set_and_given_back():
    before = torch.get_num_threads()
    with deterministic(3):
        assert torch.get_num_threads() == 3 and torch.backends.cudnn.deterministic
        assert not (torch.backends.cudnn.allow_tf32 or torch.backends.cudnn.benchmark)
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), deterministic(3):
        raise KeyError
    assert torch.get_num_threads() == before
    with deterministic():
        assert torch.get_num_threads() == before
