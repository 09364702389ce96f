"""The executor that computes in this process."""

from saq_eval.evaluation.executors import Call, Here


def where(place, *arguments):
    return place, *arguments


def test_calls_are_run_one_after_the_other_when_they_are_asked_for():
    seen = []

    def note(place, number):
        seen.append(number)
        return number

    results = Here().run([Call(note, (number,)) for number in range(3)], "here")
    assert next(results) == (0, 0) and seen == [0]
    assert list(results) == [(1, 1), (2, 2)]
    assert list(Here().run([Call(where, ("a", 2))], "here")) == [(0, ("here", "a", 2))]
    assert not Here.apart and Here.workers == 1
