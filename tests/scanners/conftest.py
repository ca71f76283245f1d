"""What several tests of scanners share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scanners.heatmap_scene import Scene
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.dispatch import RecordingDispatcher


@pytest.fixture
def scene(
    db: Database, dispatcher: RecordingDispatcher, clock: ManualClock, settings: Settings
) -> Iterator[Scene]:
    scene = Scene(db, dispatcher, clock, settings)
    yield scene
    scene.close()
