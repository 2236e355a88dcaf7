"""Online or offline: decided before the client is asked, which would prompt or wait."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

import wandb
from pydantic import ValidationError

_PATIENCE = 5.0  # seconds for the server's first answer


@dataclass(frozen=True)
class Mode:
    """How runs are mirrored.

    Args:
        kind: as WANDB_MODE has it.
        why: of "offline" and "disabled", in a few words.
    """

    kind: Literal["online", "offline", "disabled"]
    why: str = ""


def choose_mode(*, asked: bool = False) -> Mode:
    """Online where there is a key and the server answers, which is asked once, for 5 s.

    Args:
        asked: the user wants what there is to be sent now: WANDB_MODE and WANDB_DISABLED, which speak of trainings,
            do not count.
    """
    wanted = "" if asked else os.environ.get("WANDB_MODE", "").lower()
    if wanted in ("disabled", "dryrun", "offline"):
        return Mode("disabled" if wanted == "disabled" else "offline", f"WANDB_MODE={wanted}")
    if not asked and os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        return Mode("disabled", "WANDB_DISABLED is set")
    try:
        server = wandb.setup().settings.base_url  # a new Settings() reads neither environment nor files
    except (
        Exception
    ) as error:  # pydantic's, UsageError, OSError: a value in the environment or in the client's own files
        return Mode("offline", f"the client's settings: {words_of(error)}")
    if trouble := _key_trouble(server) or _server_trouble(server):
        return Mode("offline", trouble)
    return Mode("online")


def _key_trouble(server: str) -> str:
    """What keeps the client from knowing who it is; "" where it knows. Never prompts."""
    from wandb.sdk.lib.wbauth import HostUrl, authenticate_session

    try:
        known = authenticate_session(host=HostUrl(server), source="receptive", prompt=False, update_session=False)
    except Exception as error:  # the client's own, or a damaged .netrc's
        return words_of(error)
    return "" if known is not None else "no API key; `wandb login` keeps one"


def words_of(error: BaseException) -> str:
    """What an error says, in a line; of the client's settings the first that is wrong."""
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return ".".join(map(str, (*fault["loc"], ""))).rstrip(".") + f": {fault['msg']}"
    return " ".join(str(error).split()) or type(error).__name__


def _server_trouble(server: str) -> str:
    """Why the server is of no use now; "" where it answers."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/healthz", timeout=_PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        return f"{server} answers {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError) as error:  # no such host, refused, no answer
        reason = getattr(error, "reason", error)
        return f"{server} cannot be reached ({reason})"
