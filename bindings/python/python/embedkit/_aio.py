"""Results for tasks of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from embedkit import _embedkit, _inputs
from embedkit.errors import BusyError

T = TypeVar("T")

_PAUSE = 0.02
"""Seconds until a full queue is asked again."""


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that may take long, such as one that loads a model, without stopping the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


async def results(
    model: _embedkit.Model,
    role: str,
    kind: str,
    inputs: Iterable[Any] | AsyncIterable[Any],
    batch_size: int,
    terms: bool,
) -> AsyncIterator[Any]:
    """Results in input order. Inputs are submitted in pieces; each waits for its turn in the queue."""
    async for chunk in _chunks(inputs, batch_size):
        if terms:
            for result in await in_thread(model.embed_now, role, kind, chunk, False, True):
                yield result
        else:
            async for result in _submitted(model, role, kind, chunk):
                yield result


async def _chunks(inputs: Iterable[Any] | AsyncIterable[Any], size: int) -> AsyncIterator[list[Any]]:
    if not isinstance(inputs, AsyncIterable):
        for chunk in _inputs.chunks(inputs, size):
            yield chunk
        return
    chunk = []
    async for value in inputs:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _submitted(model: _embedkit.Model, role: str, kind: str, inputs: list[Any]) -> AsyncIterator[Any]:
    pending = await _submit(model, role, kind, inputs)
    loop = asyncio.get_running_loop()
    while True:
        arrived = asyncio.Event()

        def wake(arrived: asyncio.Event = arrived) -> None:
            # A loop that was closed has no task that waits.
            if not loop.is_closed():
                loop.call_soon_threadsafe(arrived.set)

        ready, done = pending.poll(wake)
        for result in ready:
            yield result
        if done:
            return
        await arrived.wait()


async def _submit(model: _embedkit.Model, role: str, kind: str, inputs: list[Any]) -> _embedkit.Pending:
    while True:
        try:
            return model.submit(role, kind, inputs)
        except BusyError:
            await asyncio.sleep(_PAUSE)
