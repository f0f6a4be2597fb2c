"""Models that a program adds to those that are built in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from embedkit import _embedkit, _registry
from embedkit.descriptions import BaseModelDescription, ModelSource


@dataclass(frozen=True)
class CustomModel:
    """A description, and the row that says the same and how results are made."""

    description: BaseModelDescription
    row: dict[str, Any]


class CustomModels:
    """The models that were added to one class."""

    def __init__(self, task: str, owner: str) -> None:
        self.task = task
        self.owner = owner
        self.models: list[CustomModel] = []

    def find(self, name: str) -> CustomModel | None:
        """The model of a name, in any case."""
        for model in self.models:
            if model.description.model.lower() == name.lower():
                return model
        return None

    def row(self, name: str) -> str | None:
        """The row of a name, as JSON."""
        model = self.find(name)
        return None if model is None else json.dumps(model.row)

    def descriptions(self) -> list[BaseModelDescription]:
        """Descriptions of all that were added."""
        return [model.description for model in self.models]

    def check_new(self, name: str) -> None:
        """Refuse a name that is taken: one of FastEmbed's, or one that was added before."""
        if self.find(name) is not None or _registry.is_of_fastembed(self.task, name):
            raise ValueError(
                f"Model {name} is already registered in {self.owner}, if you still want to add this "
                "model, please use another model name"
            )

    def add(self, model: CustomModel) -> None:
        """Add a model whose name is free."""
        self.models.append(model)


def row(
    task: str,
    model: str,
    sources: ModelSource,
    model_file: str,
    additional_files: list[str] | None,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The row of a model, checked."""
    # A name that is none of a repository is for a model that is only opened from a folder.
    repository = sources.hf if sources.hf is not None and "/" in sources.hf else None
    source = {key: value for key, value in (("repo", repository), ("url", sources.url)) if value}
    row: dict[str, Any] = {
        "id": model,
        "task": task,
        "source": source,
        "file": model_file,
        "additional_files": additional_files or [],
        **facts,
    }
    _embedkit.describe(json.dumps(row))
    return row


def add_model(
    models: CustomModels,
    model: str,
    sources: ModelSource,
    model_file: str,
    description: str,
    license: str,
    size_in_gb: float,
    additional_files: list[str] | None,
    facts: dict[str, Any],
    make: Callable[..., BaseModelDescription],
    **described: Any,
) -> CustomModel:
    """Describe a model of any task and add it."""
    models.check_new(model)
    made = CustomModel(
        description=make(
            model=model,
            sources=sources,
            model_file=model_file,
            description=description,
            license=license,
            size_in_GB=size_in_gb,
            additional_files=additional_files or [],
            **described,
        ),
        row=row(models.task, model, sources, model_file, additional_files, facts),
    )
    models.add(made)
    return made
