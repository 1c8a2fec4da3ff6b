"""The settings in force, fit to be shown: secrets are masked by type and by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import AliasChoices, Secret, SecretStr

from trunkline.settings import Settings

MASK = "••••••"
#: Names of settings, and of keys in them, that are secrets whatever their type.
_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|credential|private.?key|api.?key|passphrase", re.IGNORECASE
)
#: What every pod has for itself.
OWN = frozenset({"TRUNKLINE_POD", "TRUNKLINE_WEB_PORT", "TRUNKLINE_CONSOLE"})
#: ``scheme://user:password@host``, also inside of longer texts; rather too much than too little.
_URL_PASSWORD = re.compile(r"(?P<before>://[^/\s:@]*:)\S*(?P<after>@)")
#: ``password=…`` in a URL's query or a JAAS line.
_ASSIGNED = re.compile(r"(?P<before>(?:password|secret|token)\s*=\s*)[^&;\s]+", re.IGNORECASE)


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return every setting by its variable, as JSON types, without a secret in it."""
    return {
        variable_of(name): mask(name, getattr(settings, name))
        for name in type(settings).model_fields
    }


def changed_settings(settings: Settings) -> list[str]:
    """Return the variables whose values are not the defaults."""
    fields = type(settings).model_fields
    return [
        variable_of(name)
        for name, field in fields.items()
        if getattr(settings, name) != field.get_default(call_default_factory=True)
    ]


def digest_of(values: Mapping[str, Any]) -> str:
    """Return what tells at a glance whether two pods of a service run with the same settings."""
    shared = {name: value for name, value in values.items() if name not in OWN}
    return hashlib.sha256(msgspec.json.encode(shared, order="deterministic")).hexdigest()[:12]


def mask(name: str, value: Any) -> Any:
    """Return a value as JSON types, masked when it or its name says that it is a secret."""
    if isinstance(value, (SecretStr, Secret)):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return {str(key): mask(str(key), each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [mask(name, each) for each in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = str(value)
    if text and _SECRET_NAME.search(name) and not isinstance(value, Path):
        return MASK
    return _ASSIGNED.sub(
        rf"\g<before>{MASK}", _URL_PASSWORD.sub(rf"\g<before>{MASK}\g<after>", text)
    )


def variable_of(field: str) -> str:
    """Return the environment variable of a setting, the first where there are several."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias or f"TRUNKLINE_{field.upper()}")
