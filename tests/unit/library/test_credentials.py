"""A client that stands is given a password once it has changed, and not before."""

import pytest

from marketdata.errors import StreamUnavailable
from marketdata.streaming.credentials import Credentials

LOGIN = {"bootstrap.servers": "a:9093", "sasl.username": "poller", "sasl.password": "old"}


class Client:
    """Remembers what it was given."""

    def __init__(self):
        self.given = []

    def set_sasl_credentials(self, username, password):
        self.given.append((username, password))


class Config:
    """Settings that a test changes; an exception among them is raised."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


def test_a_changed_password_is_handed_over_once():
    config, client = Config(LOGIN), Client()
    credentials = Credentials(config)
    assert credentials.read() == LOGIN
    credentials.renew(client)
    assert client.given == []

    config.now = {**LOGIN, "sasl.password": "new"}
    credentials.renew(client)
    credentials.renew(client)
    assert client.given == [("poller", "new")]


def test_a_file_that_cannot_be_read_leaves_the_client_what_it_has():
    config, client = Config(LOGIN), Client()
    credentials = Credentials(config)
    credentials.read()
    config.now = StreamUnavailable("the file is being written")
    credentials.renew(client)
    assert client.given == []

    config.now = {**LOGIN, "sasl.password": "new"}
    credentials.renew(client)
    assert client.given == [("poller", "new")]


def test_a_client_that_cannot_be_made_now_is_told_as_much():
    with pytest.raises(StreamUnavailable):
        Credentials(Config(StreamUnavailable("no file"))).read()


def test_a_connection_without_a_password_has_nothing_to_renew():
    config, client = Config({"bootstrap.servers": "a:9092"}), Client()
    credentials = Credentials(config)
    credentials.read()
    credentials.renew(client)
    assert client.given == []
