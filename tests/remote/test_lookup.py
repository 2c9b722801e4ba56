"""A name that nobody answers for is given up after a stated time."""

from __future__ import annotations

import socket
import threading

import pytest

from geoseg.remote import Trouble, check_host


def test_a_resolver_that_never_answers_is_left_behind(monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: hangs.wait(60))
    with pytest.raises(Trouble, match=r"hub\.example was not found within 0\.05 s") as given_up:
        check_host("https://hub.example/a/b?sig=canary", within_s=0.05)
    assert not given_up.value.is_transient
    assert "canary" not in str(given_up.value)
    hangs.set()


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_an_unknown_name_is_said(monkeypatch, fault):
    def refuse(*args, **more):
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(Trouble, match=r"hub\.example is not known"):
        check_host("https://hub.example/x")


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, "hub.example"),
        ({"https_proxy": "http://user:word@proxy.example:3128"}, "proxy.example"),
        ({"all_proxy": "proxy.example:3128"}, "proxy.example"),
        ({"https_proxy": "http://proxy.example", "no_proxy": "hub.example"}, "hub.example"),
        ({"http_proxy": "http://proxy.example"}, "hub.example"),
    ],
)
def test_behind_a_proxy_the_proxy_is_looked_up(monkeypatch, environment, asked):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    names = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **more: names.append(host))
    check_host("https://hub.example/x")
    assert names == [asked]
