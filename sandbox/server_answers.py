"""What a server refuses or fails at, as errors of ours. Standard library only."""

from __future__ import annotations

from typing import Any


class ServerError(RuntimeError):
    """ComfyUI did not start, stopped or did not answer."""


class PromptError(ServerError):
    """ComfyUI refused a prompt or failed while executing it."""

    def __init__(self, message: str, node_id: str | None = None, node_type: str | None = None) -> None:
        where = f"node {node_id} ({node_type}): " if node_id is not None else ""
        super().__init__(where + message)
        self.exception_message = message
        self.node_id = node_id
        self.node_type = node_type


def validation_error(answer: dict[str, Any]) -> PromptError:
    """Why a prompt was refused, by the answer to posting it."""
    for node_id, entry in (answer.get("node_errors") or {}).items():
        for error in entry.get("errors") or []:
            return PromptError(_sentence(error), node_id, entry.get("class_type"))
    return PromptError(_sentence(answer.get("error") or {"message": "ComfyUI refused the prompt"}))


def raise_execution_error(entry: dict[str, Any]) -> None:
    """PromptError if this entry of the history is of a prompt that did not succeed."""
    status = entry.get("status") or {}
    for kind, details in status.get("messages") or []:
        if kind == "execution_error":
            message = str(details.get("exception_message", "")).strip() or details.get(
                "exception_type", "failed"
            )
            raise PromptError(message, details.get("node_id"), details.get("node_type"))
        if kind == "execution_interrupted":
            raise PromptError("cancelled", details.get("node_id"), details.get("node_type"))
    if status.get("status_str") != "success":
        raise PromptError(f"ComfyUI ended the prompt with status {status.get('status_str')!r}")


def _sentence(error: dict[str, Any]) -> str:
    return ": ".join(part for part in (error.get("message"), error.get("details")) if part)
