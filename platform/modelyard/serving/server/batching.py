"""Micro-batching: while a model predicts, requests gather; what has gathered is predicted together.

Nobody waits for a batch to fill: an idle model begins at once, so batches grow only as far as the load makes them.
Predicting happens in a thread of its own: a model that takes long, or never comes back, holds up nothing else. Only
what is known to take less than handing it to that thread and back (a millisecond or so, in compiled code of a known
library) is done on the spot.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelyard.serving.server.errors import ModelFailed, Overloaded, PredictionTimeout, RefusedByModel, RequestError
from modelyard.serving.server.interface import Question
from modelyard.serving.server.outputs import Output, joined
from modelyard.serving.server.predictors import Predictor
from modelyard.serving.server.settings import Limits

log = logging.getLogger(__name__)
_SHOWN = 500
SHORT_SECONDS = 0.002
_MEMORY = 0.05  # how much the latest prediction counts in what the next one is expected to take


class Observer(Protocol):
    """Who wants to know about batches."""

    def predicted(self, questions: list[Question], rows: int, seconds: float) -> None:
        """A batch was predicted, well or not."""


class Cost:
    """What predictions take, as a line over their rows, fitted to the latest of them."""

    def __init__(self) -> None:
        self._rows, self._seconds = 1.0, SHORT_SECONDS
        self._square, self._product = 1.0, SHORT_SECONDS

    def learn(self, rows: int, seconds: float) -> None:
        """A prediction of so many rows took so many seconds."""
        self._rows += _MEMORY * (rows - self._rows)
        self._seconds += _MEMORY * (seconds - self._seconds)
        self._square += _MEMORY * (rows * rows - self._square)
        self._product += _MEMORY * (rows * seconds - self._product)

    def expected(self, rows: int) -> float:
        """Seconds that so many rows will probably take."""
        spread = self._square - self._rows * self._rows
        if spread < 0.1 * self._square:  # all of one size: take it that each row costs the same
            return self._seconds * max(1.0, rows / self._rows)
        slope = max(0.0, (self._product - self._rows * self._seconds) / spread)
        return max(self._seconds + slope * (rows - self._rows), 0.0)


@dataclass(slots=True, eq=False)
class _Job:
    """One request: rows up to `taken` are predicted or being so."""

    question: Question
    kind: Hashable
    rows: int | None
    future: asyncio.Future[Output]
    taken: int = 0
    parts: list[Output] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Batch:
    """Rows of some jobs: (job, first row, row after the last)."""

    pieces: list[tuple[_Job, int, int]]
    timer: asyncio.TimerHandle | None = None
    over: bool = False


class Batcher:
    """Asks one model, with as many requests at once as have come.

    Args:
        name: The model's, for threads and messages.
        predictor: How it is asked.
        row_wise: Whether requests may share a batch.
        compiled: Whether it is a library's own code that answers, so that a short prediction can be relied on.
        limits: How much may wait, and how long.
        observer: Told about batches.
        on_stuck: Called each time a prediction is given up, with the number of those so far.
    """

    def __init__(
        self,
        name: str,
        predictor: Predictor,
        *,
        row_wise: bool,
        compiled: bool,
        limits: Limits,
        observer: Observer,
        on_stuck: Callable[[int], None],
    ) -> None:
        self.name = name
        self.row_wise = row_wise
        self.waiting = 0
        self._predictor = predictor
        self._limits = limits
        self._observer = observer
        self._on_stuck = on_stuck
        self._loop = asyncio.get_running_loop()
        self._clients: OrderedDict[object, deque[_Job]] = OrderedDict()
        self._current: _Batch | None = None
        self._scheduled = False
        self._stuck = 0
        self._compiled = compiled
        self._cost = Cost()
        self._inbox = self._worker()

    async def ask(self, question: Question) -> Output:
        """A prediction for one request.

        Raises:
            RequestError: too many wait, the model refuses it, fails, or takes too long.
        """
        return await self.submit(question)

    def submit(self, question: Question) -> asyncio.Future[Output]:
        """Line up a request; its future gets the prediction or a `RequestError`."""
        if self.waiting >= self._limits.waiting_requests:
            raise Overloaded(f"{self.waiting} requests wait for model {self.name!r} already", retry_after=1)
        decoded = question.inputs
        kind = self._predictor.kind(decoded.data) if self.row_wise and decoded.rows is not None else None
        if question.params and kind is not None:
            kind = (kind, repr(sorted(question.params.items())))
        job = _Job(question, kind, decoded.rows, self._loop.create_future())
        self._clients.setdefault(question.client, deque()).append(job)
        self.waiting += 1
        if self._current is None and not self._scheduled:
            # Not at once: all that this turn of the event loop has read comes along.
            self._scheduled = True
            self._loop.call_soon(self._begin)
        return job.future

    async def idle(self) -> None:
        """Wait until nothing waits or is being predicted."""
        while self.waiting or self._current is not None:
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """End the thread once it has nothing to do."""
        self._inbox.put(None)

    def _worker(self) -> "queue.SimpleQueue[_Batch | None]":
        inbox: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(inbox,), name=f"predict {self.name}", daemon=True).start()
        return inbox

    def _begin(self) -> None:
        self._scheduled = False
        if self._current is not None or not (pieces := self._take()):
            return
        batch = _Batch(pieces)
        rows = sum(end - start for _, start, end in pieces)
        if self._is_short(rows):
            began = time.perf_counter()
            answers = self._answers(pieces)
            took = time.perf_counter() - began
            self._done(batch, answers, took, took)
            return
        self._current = batch
        batch.timer = self._loop.call_later(self._limits.predict_seconds, self._give_up, batch)
        self._inbox.put(batch)

    def _take(self) -> list[tuple[_Job, int, int]]:
        """What is predicted next: of each client in turn, as long as it goes together and there is room."""
        pieces: list[tuple[_Job, int, int]] = []
        room, kind, passed = self._limits.batch_rows, None, 0
        while self._clients and room > 0 and passed < len(self._clients):
            client, jobs = next(iter(self._clients.items()))
            job = jobs[0]
            if job.future.done():  # the client has gone, or an earlier part of it has failed
                self._forget(client, jobs)
                continue
            if pieces and (job.kind is None or job.kind != kind):
                self._clients.move_to_end(client)
                passed += 1
                continue
            kind, end = job.kind, job.rows or 1
            if kind is not None:
                end = min(end, job.taken + room)
            pieces.append((job, job.taken, end))
            room -= end - job.taken
            job.taken = end
            if job.rows is None or end == job.rows:
                self._forget(client, jobs)
            self._clients.move_to_end(client) if client in self._clients else None
            if kind is None:
                break
        return pieces

    def _forget(self, client: object, jobs: deque[_Job]) -> None:
        jobs.popleft()
        self.waiting -= 1
        if not jobs:
            del self._clients[client]

    def _work(self, inbox: "queue.SimpleQueue[_Batch | None]") -> None:
        while (batch := inbox.get()) is not None:
            began, busy = time.perf_counter(), time.thread_time()
            answers = self._answers(batch.pieces)
            took, busy = time.perf_counter() - began, time.thread_time() - busy
            if batch.over:
                return  # given up long ago: another thread has taken over
            self._loop.call_soon_threadsafe(self._done, batch, answers, took, busy)

    def _answers(self, pieces: list[tuple[_Job, int, int]]) -> list[Output | RequestError]:
        if len(pieces) == 1:
            return [self._alone(*pieces[0])]
        try:
            sizes = [end - start for _, start, end in pieces]
            found = self._predictor(self._joined(pieces), pieces[0][0].question.params)
            if found.rows() == sum(sizes):
                answers: list[Output | RequestError] = []
                at = 0
                for size in sizes:
                    answers.append(found.part(at, at + size))
                    at += size
                return answers
        except BaseException:  # noqa: S110 (whose request it was is found out by asking one by one)
            pass
        return [self._alone(*piece) for piece in pieces]

    def _joined(self, pieces: list[tuple[_Job, int, int]]) -> Any:
        return self._predictor.join([self._data(*piece) for piece in pieces])

    def _data(self, job: _Job, start: int, end: int) -> Any:
        data = job.question.inputs.data
        return data if end - start == (job.rows or 1) else self._predictor.part(data, start, end)

    def _alone(self, job: _Job, start: int, end: int) -> Output | RequestError:
        try:
            found = self._predictor(self._data(job, start, end), job.question.params)
        except BaseException as error:
            return self._failure(error)
        if self.row_wise and found.rows() != end - start:
            return ModelFailed(f"model {self.name!r} was given {end - start} rows and answered with {found.rows()}")
        return found

    def _failure(self, error: BaseException) -> RequestError:
        if isinstance(error, RequestError):
            return error
        text = str(getattr(error, "message", error))
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        if isinstance(error, ValueError) or getattr(error, "error_code", "") in (
            "INVALID_PARAMETER_VALUE",
            "BAD_REQUEST",
        ):
            return RefusedByModel(f"model {self.name!r} refuses these inputs: {text}")
        log.error("model %s failed", self.name, exc_info=error)
        return ModelFailed(f"model {self.name!r} failed with {type(error).__name__}: {text}")

    def _done(self, batch: _Batch, answers: list[Output | RequestError], seconds: float, busy: float) -> None:
        """Hand out a batch's answers.

        Args:
            batch: Which one.
            answers: One for each of its pieces.
            seconds: What it took.
            busy: What it took of a processor: in the thread it also waits for its turn with the event loop, and would
                look too long to be done on the spot, where it doesn't.
        """
        if batch.over:
            return
        if batch.timer is not None:
            batch.timer.cancel()
        self._current = None
        rows = 0
        for (job, start, end), answer in zip(batch.pieces, answers, strict=True):
            rows += end - start
            if job.future.done():
                continue
            if isinstance(answer, RequestError):
                job.future.set_exception(answer)
            elif end == (job.rows or 1):
                job.parts.append(answer)
                job.future.set_result(joined(job.parts))
            else:
                job.parts.append(answer)
        self._cost.learn(rows, busy)
        if self._clients and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)
        self._observer.predicted([job.question for job, _, _ in batch.pieces], rows, seconds)

    def _is_short(self, rows: int) -> bool:
        """Whether a batch is expected to take no longer than handing it to the thread would."""
        return self._compiled and self._cost.expected(rows) < SHORT_SECONDS

    def _give_up(self, batch: _Batch) -> None:
        """A prediction that takes too long: its thread can't be stopped, so another one goes on in its place."""
        batch.over = True
        self._stuck += 1
        seconds = self._limits.predict_seconds
        log.error("model %s has not answered after %g s; given up so far: %d", self.name, seconds, self._stuck)
        for job, _, _ in batch.pieces:
            if not job.future.done():
                job.future.set_exception(PredictionTimeout(f"model {self.name!r} did not answer within {seconds:g} s"))
        self._current = None
        self._inbox = self._worker()
        self._on_stuck(self._stuck)
        self._begin()
