import pytest

from saq_eval.evaluation.clock import Clock


def test_a_stages_times_add_up_also_when_it_fails():
    clock = Clock()
    with clock("first"):
        pass
    with pytest.raises(KeyboardInterrupt), clock("second"):
        raise KeyboardInterrupt
    assert list(clock.seconds) == ["first", "second"] and all(0 <= value < 1 for value in clock.seconds.values())
    clock.add({"second": 1.5, "third": 2.0})
    assert 1.5 <= clock.seconds["second"] < 2.5 and clock.seconds["third"] == 2.0
