"""Batches as few frames: those of one kind are joined, and columns that mustn't be stored are left out.

This runs in the server process, so what it costs per batch counts.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from modelyard.serving.payloads.batches import Array, Matrix, PayloadBatch
from modelyard.serving.payloads.columns import Column, column, storable, text_column
from modelyard.serving.payloads.frames import Frame


def kinds(batches: Iterable[PayloadBatch]) -> list[list[PayloadBatch]]:
    """Batches sorted by kind: those of one kind have the same model version, columns and types."""
    found: dict[Hashable, list[PayloadBatch]] = {}
    known: list[PayloadBatch] = []
    before: Hashable = None
    looked: object = None
    looked_kind: Hashable = None
    for batch in batches:
        inputs = batch.inputs
        if isinstance(inputs, Matrix):
            of_inputs: Hashable = (inputs.names, inputs.values.dtype)
        else:
            # Many columns: whether they look like the last ones is known sooner than what kind they are.
            look = _look(inputs.values, batch)
            if look != looked:
                looked, looked_kind = look, _kind(inputs.values, batch)
            of_inputs = looked_kind
        key = (batch.model, batch.version, of_inputs, _kind(batch.outputs, batch))
        if key != before:  # mostly it is: comparing the same names costs nothing, hashing them does
            known, before = found.setdefault(key, []), key
        known.append(batch)
    return list(found.values())


def joined(batches: Sequence[PayloadBatch], redact: frozenset[str]) -> Frame:
    """One frame of batches of one kind.

    Args:
        batches: At least one.
        redact: Names of columns to leave out.

    Raises:
        ValueError: the arrays and the rows of a batch don't go together.
    """
    first = batches[0]
    rows = np.fromiter(chain.from_iterable(batch.rows for batch in batches), dtype="<i4")
    ids = list(chain.from_iterable(batch.request_ids for batch in batches))
    if len(ids) != len(rows):
        raise ValueError(f"a batch has {len(ids)} request ids and {len(rows)} numbers of rows")
    inputs = first.inputs
    if isinstance(inputs, Matrix):
        # Each kind has one type of inputs.
        columns = _matrix(inputs.names, [batch.inputs.values for batch in batches], int(rows.sum()), redact)  # type: ignore[misc]
    else:
        columns = _columns([(batch.inputs.values, batch) for batch in batches], redact)  # type: ignore[misc]
    outputs = _columns([(batch.outputs, batch) for batch in batches], redact)
    times = np.array([batch.time_ns for batch in batches], dtype="<i8")
    if len(ids) != len(batches):
        times = np.repeat(times, [len(batch.request_ids) for batch in batches])
    return Frame(first.model, first.version, ids, times, rows, columns, outputs)


def _look(arrays: Mapping[str, Array], batch: PayloadBatch) -> tuple[object, ...]:
    many, rows = arrays.values(), sum(batch.rows)
    shapes = [array.shape for array in many]
    is_text = any([not shape or shape[0] != rows for shape in shapes])
    return list(arrays), [array.dtype for array in many], shapes, id(batch) if is_text else None


def _kind(arrays: Mapping[str, Array], batch: PayloadBatch) -> Hashable:
    rows = sum(batch.rows)
    parts: list[Hashable] = []
    for name, array in arrays.items():
        parts.append(name)
        shape = array.shape
        if not shape or shape[0] != rows:
            parts.append(id(batch))  # it becomes text, so it can't be joined
        elif len(shape) == 1:
            parts.append(array.dtype)
        else:
            parts.append((array.dtype, shape[1:]))
    return tuple(parts)


def _matrix(names: tuple[str, ...], values: Sequence[Array], rows: int, redact: frozenset[str]) -> list[Column]:
    whole = values[0] if len(values) == 1 else np.concatenate(values)
    if whole.shape != (rows, len(names)):
        raise ValueError(f"inputs have shape {whole.shape}; there are {rows} rows and {len(names)} names")
    kept = [at for at, name in enumerate(names) if name not in redact]
    if len(kept) < len(names):
        names, whole = tuple(names[at] for at in kept), whole[:, kept]
    if whole.dtype.kind not in "biufmM":
        return [column(name, whole[:, at], redact) for at, name in enumerate(names)]
    return [Column(names, "numbers", storable(whole), is_matrix=True)]


def _columns(many: Sequence[tuple[Mapping[str, Array], PayloadBatch]], redact: frozenset[str]) -> list[Column]:
    arrays, batch = many[0]
    rows, found = sum(batch.rows), []
    for name, array in arrays.items():
        if name in redact:
            continue
        if not array.shape or array.shape[0] != rows:
            found.append(text_column(name, array, batch.rows, redact))
        else:
            whole = array if len(many) == 1 else np.concatenate([one[name] for one, _ in many])
            found.append(column(name, whole, redact))
    return found
