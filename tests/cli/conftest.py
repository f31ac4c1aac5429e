"""Experiments whose artifacts are all there, made in milliseconds."""

from tests.road.conftest import context as context  # a fixture
