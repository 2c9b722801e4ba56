"""Tests are closed to the network and to the settings of the person who runs them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from pytest_socket import SocketConnectBlockedError


@pytest.mark.filterwarnings("ignore:A test tried to use")
def test_other_machines_are_out_of_reach():
    with socket.socket() as connection, pytest.raises(SocketConnectBlockedError):
        connection.connect(("192.0.2.1", 80))  # an address for documentation: nothing is there


def test_this_machine_is_in_reach():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_every_test_has_a_cache_of_its_own(tmp_path_factory):
    cache = Path(os.environ["GEOSEG_CACHE"])
    assert cache.is_relative_to(tmp_path_factory.getbasetemp())
    assert not cache.exists()


def test_settings_of_the_user_are_gone():
    assert {name for name in os.environ if name.startswith("GEOSEG_")} <= {
        "GEOSEG_BACKEND",
        "GEOSEG_CACHE",
        "GEOSEG_SHARED",
    }
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.online
def test_online_is_skipped_unless_asked_for(request):
    assert request.config.getoption("--force-enable-socket")
