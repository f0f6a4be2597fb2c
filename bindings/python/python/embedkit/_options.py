"""Keyword arguments as options of the native module."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from embedkit import _embedkit, _runtime
from embedkit.types import Device, OnnxProvider

PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "tensorrt",
    "CoreMLExecutionProvider": "coreml",
    "DmlExecutionProvider": "directml",
    "OpenVINOExecutionProvider": "openvino",
    "MIGraphXExecutionProvider": "migraphx",
}
"""Devices by the names of ONNX Runtime's execution providers."""

KEYWORDS = frozenset(
    {
        "local_files_only",
        "enable_cpu_mem_arena",
        "prompts",
        "max_tokens",
        "dim",
        "replicas",
        "precision",
        "profile",
        "timeout",
        "variant",
        "onnxruntime",
        "batch_rows",
        "batch_tokens",
        "allow_batch_dependence",
        "show_progress",
    }
)
"""Keywords of all models, beside those that have a place of their own."""

_reported: set[str] = set()


def ignore_unknown(owner: str, keywords: Mapping[str, Any], stacklevel: int) -> None:
    """Warn of keywords that no model knows, once for each: libraries pass some on."""
    unknown = sorted(set(keywords) - KEYWORDS - _reported)
    if unknown:
        _reported.update(unknown)
        warnings.warn(
            f"{owner} ignores options that it does not know: {', '.join(unknown)}",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def load(
    *,
    cache_dir: str | None,
    threads: int | None,
    providers: Sequence[OnnxProvider] | None,
    cuda: bool | Device,
    device_ids: Sequence[int] | None,
    keywords: Mapping[str, Any],
) -> dict[str, Any]:
    """Options in the form of the library's `LoadOptions`."""
    device, provider_options = _device(providers, cuda, device_ids)
    if threads is not None and threads >= _cores() and keywords.get("replicas") is None:
        # No limit, so that streams have a lane for each core and lone calls all cores.
        threads = None
    options: dict[str, Any] = {
        "device": device,
        "provider_options": provider_options,
        "threads": threads,
        # Threads are those of one session, as in FastEmbed; without a number all cores are used.
        "replicas": keywords.get("replicas", 1 if threads is not None else None),
        "arena": keywords.get("enable_cpu_mem_arena"),
        "onnxruntime": keywords.get("onnxruntime") or _runtime.library(),
        "cache_dir": cache_dir,
        "offline": bool(keywords.get("local_files_only", False)),
        "variant": keywords.get("variant"),
        "timeout": keywords.get("timeout"),
        "max_tokens": keywords.get("max_tokens"),
        "dim": keywords.get("dim"),
        "prompts": _prompts(keywords.get("prompts")),
        "profile": keywords.get("profile") or "auto",
        "precision": keywords.get("precision"),
        "allow_batch_dependence": bool(keywords.get("allow_batch_dependence", False)),
        "batch": {
            key: keywords[f"batch_{key}"]
            for key in ("rows", "tokens")
            if keywords.get(f"batch_{key}") is not None
        },
    }
    return {key: value for key, value in options.items() if value is not None}


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_providers(providers: Sequence[OnnxProvider] | None, onnxruntime: str | None) -> None:
    """Refuse execution providers that the library in use does not have."""
    names = [_name(provider) for provider in providers or ()]
    if all(name == "CPUExecutionProvider" for name in names):
        return
    available = _embedkit.providers(onnxruntime)
    for name in names:
        if name not in available:
            raise ValueError(f"Provider {name} is not available. Available providers: {available}")


def _name(provider: OnnxProvider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _device(
    providers: Sequence[OnnxProvider] | None,
    cuda: bool | Device,
    device_ids: Sequence[int] | None,
) -> tuple[str, list[tuple[str, str]]]:
    explicit = cuda is True or cuda == Device.CUDA
    if explicit and providers is not None:
        warnings.warn(
            f"`cuda` and `providers` are mutually exclusive, cuda: {cuda}, providers: {providers}. "
            "`providers` is used.",
            UserWarning,
            stacklevel=6,
        )
    if providers is not None:
        return _from_providers(providers)
    ids = f":{','.join(map(str, device_ids))}" if device_ids else ""
    if explicit:
        return f"cuda{ids}", []
    if cuda == Device.AUTO:
        return (f"cuda{ids}>cpu" if device_ids else "auto"), []
    return "cpu", []


def _from_providers(providers: Sequence[OnnxProvider]) -> tuple[str, list[tuple[str, str]]]:
    devices: list[str] = []
    settings: list[tuple[str, str]] = []
    for provider in providers:
        name = _name(provider)
        if name not in PROVIDERS:
            raise ValueError(f"Provider {name} is not supported. Supported providers: {list(PROVIDERS)}")
        options = {} if isinstance(provider, str) else dict(provider[1])
        number = options.pop("device_id", None)
        devices.append(PROVIDERS[name] if number is None else f"{PROVIDERS[name]}:{number}")
        settings.extend((str(key), str(value)) for key, value in options.items())
    return ">".join(devices) or "cpu", settings


def _prompts(prompts: str | Mapping[str, str] | None) -> Any:
    if prompts is None or prompts == "none":
        return "none"
    if isinstance(prompts, str):
        return prompts
    return {"custom": dict(prompts)}
