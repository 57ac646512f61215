"""The kept checkpoints as the API and the command line list them."""

import contextlib
from collections.abc import Sequence
from typing import Any

from service.checkpoints import CheckpointInfo, CheckpointStore
from service.durability.manifest import decode_manifest
from service.errors import CheckpointInvalid


def checkpoint_records(store: CheckpointStore) -> Sequence[dict[str, Any]]:
    """Return what is kept, newest first: of each its version, its names, and of what and whence it is."""
    found = []
    for info in store.list():
        # A trainer that goes on may have removed it by now.
        with contextlib.suppress(CheckpointInvalid):
            found.append(_record(info))
    return found


def _record(info: CheckpointInfo) -> dict[str, Any]:
    manifest = decode_manifest(info.path)
    service = manifest.service
    return {
        "version": info.version,
        "epoch": info.epoch,
        "written_at": info.created,
        "bytes": info.size,
        "names": list(info.names),
        "learner": service.get("learner"),
        "restored_from": service.get("restored_from"),
        "canary": (service.get("canary") or {}).get("verdict"),
        "events_learned": service.get("lane", {}).get("learned"),
        "events_checksum": service.get("lane", {}).get("events_checksum"),
        "positions": {str(partition): tuple(position) for partition, position in manifest.positions.items()},
    }
