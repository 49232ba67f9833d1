"""Moving code changes no answer: 600 pictures are read as they were when they were stored."""

from benchmarks import answers


def test_no_answer_differs(model):
    differing = answers.differences(model)
    assert not differing, "\n".join(differing[:20])
