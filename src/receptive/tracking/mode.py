"""Online or offline: decided before the client is asked, which would prompt or wait."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

import wandb
from pydantic import ValidationError

from receptive.errors import InputError

_PATIENCE = 5.0  # seconds for the server's first answer


@dataclass(frozen=True)
class Mode:
    """How runs are mirrored.

    Args:
        kind: as WANDB_MODE has it.
        why: of "offline", in a few words.
    """

    kind: Literal["online", "offline"]
    why: str = ""


def choose_mode(*, asked: bool = False) -> Mode:
    """Online where there is a key and the server answers, which is asked once, for 5 s.

    Args:
        asked: the user wants what there is to be sent now: WANDB_MODE, which speaks of trainings, does not count.

    Raises:
        InputError: see `set_up`.
    """
    if not asked and (wanted := os.environ.get("WANDB_MODE", "").lower()) in ("dryrun", "offline"):
        return Mode("offline", f"WANDB_MODE={wanted}")
    server = set_up()
    if trouble := _key_trouble(server) or _server_trouble(server):
        return Mode("offline", trouble)
    return Mode("online")


def set_up(settings: wandb.Settings | None = None) -> str:
    """Start the client; gives the server's address (a new Settings() reads neither environment nor files).

    Raises:
        InputError: the client refuses what the environment or its settings file says.
    """
    try:
        return str(wandb.setup(settings).settings.base_url)
    except Exception as error:  # its own and pydantic's: a value in the environment or in its own files
        raise InputError(f"W&B's client refuses its settings: {words_of(error)}") from None


def _key_trouble(server: str) -> str:
    """What keeps the client from knowing who it is; "" where it knows. Never prompts."""
    from wandb.sdk.lib.wbauth import HostUrl, authenticate_session

    try:
        known = authenticate_session(host=HostUrl(server), source="receptive", prompt=False, update_session=False)
    except Exception as error:  # the client's own, or a damaged .netrc's
        return words_of(error)
    return "" if known is not None else "no API key (WANDB_API_KEY, or `wandb login`)"


def words_of(error: BaseException) -> str:
    """What an error says, in a line; of the client's settings each that is wrong."""
    if isinstance(error, ValidationError):
        faults = (f"WANDB_{str(fault['loc'][0]).upper()}={fault['input']}: {fault['msg']}" for fault in error.errors())
        return "; ".join(faults)
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _server_trouble(server: str) -> str:
    """Why the server is of no use now; "" where it answers."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/healthz", timeout=_PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        return f"{server} answers {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError) as error:  # no such host, refused, no answer
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # it is there; the client has certificates of its own
            return ""
        return f"{server} cannot be reached ({reason})"
