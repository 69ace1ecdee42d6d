"""What is remembered of objects, whatever order the news comes in."""

from marketdata_operator.board import Board
from marketdata_operator.status import Status
from support.pollingjobs import an_object


def test_a_new_object_waits_to_be_written_once():
    board = Board()
    board.observe(an_object(version=1))

    assert board.changed.is_set()
    assert [each.name for each in board.take()[0]] == ["tech"]
    assert board.take() == ([], [])
    assert not board.changed.is_set()


def test_older_news_never_replaces_newer():
    board = Board()
    board.observe(an_object(version=5, suspend=True))

    assert not board.observe(an_object(version=4))
    assert not board.observe(an_object(version=5))
    assert board.objects()[0].version == 5


def test_a_change_of_status_alone_is_nothing_to_write():
    board = Board()
    board.observe(an_object(version=1))
    board.take()
    board.observe(an_object(version=2, status={"jobID": "x"}))

    assert board.waiting() == 0
    assert board.objects()[0].status == Status(job_id="x")


def test_a_deleted_object_is_retired_and_no_longer_written():
    board = Board()
    board.observe(an_object())
    board.forget("uid-tech")

    assert board.take() == ([], ["uid-tech"])
    assert board.objects() == []


def test_what_could_not_be_written_waits_again():
    board = Board()
    board.observe(an_object("kept"))
    board.forget("uid-gone")
    dirty, gone = board.take()
    board.put_back(dirty, gone)

    assert board.waiting() == 2
    assert board.take() == (dirty, gone)


def test_a_complete_list_is_the_truth():
    board = Board()
    board.observe(an_object("stale", version=9))
    board.observe(an_object("restored", version=9))
    board.begin_sweep()
    there = board.finish_sweep({"uid-restored": an_object("restored", version=3)})

    assert {each.name: each.version for each in there.values()} == {"restored": 3}


def test_what_the_watch_says_while_a_list_is_read_outlives_the_list():
    board = Board()
    board.observe(an_object("changed", version=1))
    board.observe(an_object("deleted", version=1))
    listed = {each.uid: each for each in board.objects()}
    board.begin_sweep()
    board.observe(an_object("changed", version=3, suspend=True))
    board.observe(an_object("made", version=4))
    board.forget("uid-deleted")
    there = board.finish_sweep(listed)

    assert {each.name: each.version for each in there.values()} == {"changed": 3, "made": 4}


def test_our_own_status_write_is_known_before_the_watch_echoes_it():
    board = Board()
    board.observe(an_object(version=1))
    board.wrote("uid-tech", Status(job_id="x"), 2)

    assert not board.observe(an_object(version=2, status={"jobID": "x"}))
    assert board.objects()[0].status == Status(job_id="x")


def test_a_status_write_never_brings_an_older_moment_back():
    board = Board()
    board.observe(an_object(version=5))
    board.wrote("uid-tech", Status(job_id="x"), 4)
    board.wrote("uid-unknown", Status(), 9)

    assert board.objects()[0].status == Status()
