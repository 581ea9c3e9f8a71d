import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from modelyard.serving.server.batching import SHORT_SECONDS, Batcher, Cost
from modelyard.serving.server.errors import ModelFailed, Overloaded, PredictionTimeout, RefusedByModel
from modelyard.serving.server.interface import Decoded, Question
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.outputs import Output, output
from modelyard.serving.server.predictors import MatrixPredictor
from modelyard.serving.server.settings import Limits


class Model:
    """Doubles what it gets; can be held, and remembers the batches it got."""

    def __init__(self, answer: Callable[[np.ndarray], Any] = lambda rows: rows[:, 0] * 2) -> None:
        self.batches: list[list[float]] = []
        self.go = threading.Event()
        self.go.set()
        self._answer = answer

    def __call__(self, rows: np.ndarray) -> Output:
        self.batches.append(rows[:, 0].tolist())
        assert self.go.wait(10)
        return output(self._answer(rows))


class Nobody:
    def predicted(self, questions, rows, seconds):
        pass


def batcher(model: Model, *, row_wise: bool = True, stuck: list[int] | None = None, **limits: Any) -> Batcher:
    predictor = MatrixPredictor(Native("test", unpickled=False, matrix=model))
    on_stuck = (stuck if stuck is not None else []).append
    return Batcher(
        "m", predictor, row_wise=row_wise, compiled=False, limits=Limits(**limits), observer=Nobody(), on_stuck=on_stuck
    )


def asked(*values: float, client: object = None) -> Question:
    return Question(Decoded(np.array([[value] for value in values]), len(values)), {}, "id", client)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


async def until(fact: Callable[[], bool]) -> None:
    while not fact():
        await asyncio.sleep(0.001)


def values(answer: Output) -> list[float]:
    return answer.arrays["output-0"].tolist()


def test_requests_that_gather_are_predicted_together():
    async def test() -> None:
        model = Model()
        one = batcher(model)
        model.go.clear()
        first = one.submit(asked(1))
        await until(lambda: len(model.batches) == 1)
        others = [one.submit(asked(value)) for value in (2, 3, 4)]
        model.go.set()
        assert [values(await future) for future in (first, *others)] == [[2], [4], [6], [8]]
        assert model.batches == [[1], [2, 3, 4]]

    run(test())


def test_an_idle_model_begins_at_once():
    async def test() -> None:
        model = Model()
        one = batcher(model)
        for value in range(5):
            assert values(await one.ask(asked(value))) == [value * 2]
        assert model.batches == [[0], [1], [2], [3], [4]]

    run(test())


def test_a_model_that_is_not_row_wise_gets_each_request_alone():
    async def test() -> None:
        model = Model()
        one = batcher(model, row_wise=False)
        await asyncio.gather(*(one.ask(asked(value)) for value in range(4)))
        assert sorted(model.batches) == [[0], [1], [2], [3]]

    run(test())


def test_a_large_request_is_predicted_in_parts_and_lets_small_ones_through():
    async def test() -> None:
        model = Model()
        one = batcher(model, batch_rows=10)
        large = one.submit(asked(*range(100), client="large"))
        small = one.submit(asked(7, client="small"))
        assert values(await small) == [14]
        assert not large.done()
        assert values(await large) == [value * 2 for value in range(100)]
        assert max(map(len, model.batches)) <= 10

    run(test())


def test_clients_take_turns():
    async def test() -> None:
        model = Model()
        one = batcher(model, batch_rows=2)
        model.go.clear()
        first = one.submit(asked(0, client="x"))
        await until(lambda: len(model.batches) == 1)
        many = [one.submit(asked(1, client="many")) for _ in range(6)]
        few = one.submit(asked(2, client="few"))
        model.go.set()
        await asyncio.gather(first, few, *many)
        assert model.batches[1] == [1, 2]

    run(test())


def test_one_bad_request_does_not_fail_its_neighbours():
    def moody(rows: np.ndarray) -> np.ndarray:
        if (rows < 0).any():
            raise ValueError("negative")
        return rows[:, 0] * 2

    async def test() -> None:
        model = Model(moody)
        one = batcher(model)
        model.go.clear()
        futures = [one.submit(asked(value)) for value in (1, 2, -3, 4)]
        model.go.set()
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert [values(one) for one in answers if isinstance(one, Output)] == [[2], [4], [8]]
        assert isinstance(answers[2], RefusedByModel)

    run(test())


@pytest.mark.parametrize("error", [TypeError("no"), KeyError("x"), SystemExit(1), MemoryError(), RecursionError()])
def test_whatever_a_model_raises_becomes_an_answer(error):
    def raising(rows: np.ndarray) -> np.ndarray:
        raise error

    async def test() -> None:
        one = batcher(Model(raising))
        with pytest.raises(ModelFailed, match=type(error).__name__):
            await one.ask(asked(1))

    run(test())


@pytest.mark.parametrize(
    "wrong", [lambda rows: rows[:1, 0].repeat(len(rows) + 1), lambda rows: rows[:0, 0], lambda rows: 3]
)
def test_an_answer_of_the_wrong_length_is_a_failure_of_the_model(wrong):
    async def test() -> None:
        one = batcher(Model(wrong))
        answers = await asyncio.gather(*(one.ask(asked(1, 2)) for _ in range(3)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {ModelFailed}

    run(test())


def test_a_full_queue_turns_requests_away_and_says_when_to_come_back():
    async def test() -> None:
        model = Model()
        one = batcher(model, waiting_requests=2)
        model.go.clear()
        first = one.submit(asked(1))
        await until(lambda: len(model.batches) == 1)
        waiting = [one.submit(asked(2)), one.submit(asked(3))]
        with pytest.raises(Overloaded) as refused:
            one.submit(asked(4))
        assert refused.value.retry_after == 1
        model.go.set()
        await asyncio.gather(first, *waiting)
        assert one.waiting == 0

    run(test())


def test_a_model_that_hangs_fails_its_request_and_serves_the_next():
    async def test() -> None:
        stuck: list[int] = []
        model = Model()
        one = batcher(model, stuck=stuck, predict_seconds=0.1)
        model.go.clear()
        with pytest.raises(PredictionTimeout):
            await one.ask(asked(1))
        released, model.go = model.go, threading.Event()
        model.go.set()
        assert values(await one.ask(asked(2))) == [4]
        assert stuck == [1]
        released.set()

    run(test())


def test_a_request_whose_client_has_gone_is_not_predicted():
    async def test() -> None:
        model = Model()
        one = batcher(model)
        model.go.clear()
        first = one.submit(asked(1))
        await until(lambda: len(model.batches) == 1)
        gone, here = one.submit(asked(2)), one.submit(asked(3))
        gone.cancel()
        model.go.set()
        await asyncio.gather(first, here)
        assert model.batches == [[1], [3]]
        assert one.waiting == 0

    run(test())


def test_other_parameters_are_another_batch():
    async def test() -> None:
        model = Model()
        one = batcher(model)
        model.go.clear()
        first = one.submit(asked(1))
        await until(lambda: len(model.batches) == 1)
        plain, other = asked(2), asked(3)
        other.params["t"] = 1
        futures = [one.submit(plain), one.submit(other), one.submit(asked(4))]
        model.go.set()
        await asyncio.gather(first, *futures)
        assert sorted(model.batches[1:]) == [[2], [3], [4]] or [2, 4] in model.batches

    run(test())


def test_what_a_prediction_takes_is_learnt_as_a_line_over_its_rows():
    cost = Cost()
    for _ in range(60):
        for rows in (1, 20, 5):
            cost.learn(rows, 0.0002 + rows * 0.00001)
    assert cost.expected(10) == pytest.approx(0.0003, rel=0.1)


def test_at_first_a_prediction_is_taken_to_be_long():
    assert Cost().expected(1) >= SHORT_SECONDS
