"""The session of a loaded model, as far as FastEmbed's callers look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
}


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session, by ONNX Runtime's names."""

    enable_cpu_mem_arena: bool = True
    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0


class Session:
    """Facts of a session: the graph itself is on the native side."""

    def __init__(self, options: SessionOptions, device: str, provider_options: dict[str, str]):
        self._options = options
        self._device = device
        self._provider_options = provider_options

    @property
    def device(self) -> str:
        """Device that the model runs on, such as `cpu` or `cuda:0`."""
        return self._device

    def get_session_options(self) -> SessionOptions:
        """Options of the session."""
        return self._options

    def get_providers(self) -> list[str]:
        """Execution providers, the one in use first."""
        name, _, _ = self._device.partition(":")
        provider = _PROVIDERS.get(name, name)
        cpu = "CPUExecutionProvider"
        return [provider] if provider == cpu else [provider, cpu]

    def get_provider_options(self) -> dict[str, dict[str, Any]]:
        """Options of each execution provider; that of a device has its number as `device_id`."""
        provider, *rest = self.get_providers()
        _, _, number = self._device.partition(":")
        options: dict[str, Any] = dict(self._provider_options)
        if number:
            options["device_id"] = number.split(",")[0]
        return {provider: options, **{name: {} for name in rest}}
