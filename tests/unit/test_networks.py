"""Two homes that start at once never get the same loopback network."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from scheduler.embedded.networks import NETWORK_SLOTS, NoNetworkError, chosen_port, claimed_network, is_free

SEED = "n-000000"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the claims in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_network_that_is_claimed_is_passed_over_and_free_once_the_claim_ends() -> None:
    with claimed_network(SEED) as (first, _), claimed_network(SEED) as (second, _):
        assert first != second

    with claimed_network(SEED) as (again, _):
        assert again == first


def test_a_claim_lasts_as_long_as_a_process_that_inherits_it() -> None:
    with claimed_network(SEED) as (held, claim):
        heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(claim,))

    with claimed_network(SEED) as (other, _):
        assert other != held
    heir.communicate(b"\n")
    with claimed_network(SEED) as (again, _):
        assert again == held


def test_each_claim_is_another_network_until_none_is_left() -> None:
    with ExitStack() as claims:
        given: list[int] = []
        with suppress(NoNetworkError):
            while len(given) <= NETWORK_SLOTS:
                given += claims.enter_context(claimed_network(SEED))[:1]

    assert 1 < len(given) <= NETWORK_SLOTS
    assert len(set(given)) == len(given)


def test_a_port_that_is_in_use_is_not_chosen() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
        taken.listen()
        assert not is_free("127.0.0.1", port)
        with chosen_port(port) as chosen:
            assert chosen != port
    with chosen_port(port) as chosen:
        assert chosen == port


def test_claims_are_of_one_user_alone(tmp_path: Path) -> None:
    with claimed_network(SEED):
        assert (tmp_path / f"skerry-{os.getuid()}").stat().st_mode & 0o077 == 0
