"""Dead letters both ways: to their topic, for people and tools, and back where a replay was asked for.

Promises: a letter is marked only with the broker's own confirmation; one too large for its topic goes out
as the marks that say where its bytes are kept; one that is refused even so, or not confirmed, holds up
no other, and comes again when all others had their turn. Each way rests by itself while it fails, longer
each time, and says so once. Events wait for none of this: it has a thread and a client of its own.
Publishing twice is possible at each `died here`. The table keeps every byte, whatever went out.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from marketdata.clock import Clock
from marketdata.domain.publication import Coordinates
from marketdata.errors import StreamUnavailable
from marketdata.messages import topics
from marketdata.steps import StepObserver
from marketdata.storage.dead_letters import StoredLetter
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata.telemetry import logs
from marketdata_poller.letter_pass import LetterPass
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.ports import EventPublisher
from marketdata_poller.steps import RelayStep

_log = logs.get("letters")

AT_ONCE = 50  # of up to a megabyte each
_FIRST_REST_SECONDS = 0.25
_LONGEST_REST_SECONDS = 30.0
# The letters are locked meanwhile. Publishing all together takes 10 s at worst, and so does the one that is
# begun last: 25 s in all, and the engine lets a transaction be idle for at least 30 s. Only a letter that is
# refused three times, each time after most of the 8 s that a message has, comes over that.
_SHORTENING_SECONDS = 5.0


class LetterBatch(Protocol):
    """Letters that are this relay's alone until the batch ends; what is marked then holds, or nothing."""

    @property
    def letters(self) -> Sequence[StoredLetter]: ...

    def mark_forwarded(self, ids: Sequence[UUID]) -> None:
        """Note that the dead-letter topic has them. Idempotent."""

    def mark_replayed(self, sent: Sequence[tuple[StoredLetter, Coordinates]]) -> None:
        """Note that they were published again; their events are open again. Idempotent."""

    def give_up(self, ids: Sequence[UUID]) -> None:
        """Forget that their replay was asked for. Idempotent."""


class Letters(Protocol):
    """The letters that wait for a relay. All methods raise StoreUnavailable."""

    def has_waiting(self, *, after: UUID) -> bool:
        """Tell whether any waits to be replayed, or one with an id over `after` to be forwarded."""

    def unforwarded(self, limit: int, *, after: UUID) -> AbstractContextManager[LetterBatch]:
        """Give the first letters by id, over `after`, that no other relay has and their topic lacks."""

    def requested(self, limit: int) -> AbstractContextManager[LetterBatch]:
        """Give the first letters by id that no other relay has and whose replay was asked for."""


@dataclass(slots=True)
class _Rest:
    """How long one way rests, and what was said of it."""

    way: str
    until: float = float("-inf")
    pause: float = _FIRST_REST_SECONDS
    trouble: str | None = None

    def begin(self, now: float, trouble: str) -> None:
        """Rest for twice as long as the time before; say why, unless that was said last."""
        self.until = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_REST_SECONDS)
        if trouble != self.trouble:
            _log.warning("dead letters do not go out", way=self.way, error=trouble)
        self.trouble = trouble

    def end(self) -> None:
        """Note that some went out, and nothing that was tried is without an answer."""
        self.pause = _FIRST_REST_SECONDS
        if self.trouble is not None:
            _log.info("dead letters go out again", way=self.way)
        self.trouble = None


@dataclass(frozen=True, slots=True)
class _Moved:
    """What one attempt came to."""

    is_any_confirmed: bool = False
    is_more: bool = False


class LetterRelay:
    """Moves batches; used by one thread."""

    def __init__(
        self,
        *,
        letters: Letters,
        publisher: EventPublisher,
        topic: str,
        dead_letter_topic: str,
        clock: Clock,
        measures: RelayMeasures,
        on_step: StepObserver,
        beat: Callable[[], None],
    ) -> None:
        """`beat` shows that the relay lives: called before each wait for a broker, of 10 s at worst."""
        self._letters = letters
        self._publisher = publisher
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self._clock = clock
        self._measures = measures
        self._on_step = on_step
        self._beat = beat
        self._forwarding = _Rest("forward")
        self._replaying = _Rest("replay")
        self._pass = LetterPass()

    def turn(self) -> bool:
        """Move one batch each way; return whether there is more to do now.

        Raises StoreUnavailable; that a broker is away or refuses is not the caller's business.
        """
        self._pass.begin_again(self._clock.monotonic())
        if not self._letters.has_waiting(after=self._pass.after):
            self._pass.end(self._clock.monotonic())
            return False
        more = self._attempt(self._forward, self._forwarding)
        return self._attempt(self._replay, self._replaying) or more

    def _attempt(self, move: Callable[[], _Moved], rest: _Rest) -> bool:
        if self._clock.monotonic() < rest.until:
            return False
        try:
            moved = move()
        except StreamUnavailable as error:
            rest.begin(self._clock.monotonic(), str(error))
            return False
        if moved.is_any_confirmed:
            rest.end()
        return moved.is_more

    def _forward(self) -> _Moved:
        """Forward a batch. Raises StreamUnavailable where a broker is away, or did not confirm all."""
        # 1. Ask the broker which log this is, so that nothing is claimed while it is away.
        account = self._account(self._dead_letter_topic)
        # 2. Claim. Died here: the transaction ends with us and the rows are free again.
        with self._letters.unforwarded(AT_ONCE, after=self._pass.after) as batch:
            if not batch.letters:
                self._pass.end(self._clock.monotonic())
                return _Moved()
            is_full = len(batch.letters) == AT_ONCE
            letters = [letter for letter in batch.letters if not self._pass.is_set_aside(letter.id)]
            if not letters:
                self._pass.go_on(batch.letters[-1].id)
                return _Moved(is_more=is_full)
            # 3. Publish. Died here: forwarded and not marked, so forwarded once more, under the same dlq_id.
            deliveries = self._publish([self._forms(letter) for letter in letters], account=account)
            self._on_step(RelayStep.FORWARDED)
            sent = _confirmed(letters, deliveries)
            batch.mark_forwarded([letter.id for letter, _ in sent])
        # 4. Committed. Died here: done.
        self._on_step(RelayStep.FORWARD_MARKED)
        self._measures.letters("forwarded", len(sent))
        self._pass_over(letters, deliveries)
        _raise_unconfirmed(deliveries)
        return _Moved(is_any_confirmed=bool(sent), is_more=is_full or None in deliveries)

    def _replay(self) -> _Moved:
        """Replay a batch, as `_forward` forwards one."""
        account = self._account(self._topic)
        with self._letters.requested(AT_ONCE) as batch:
            if not batch.letters:
                return _Moved()
            # Never shortened: a message without its value is another message, and no replay.
            originals = [[self._original(letter)] for letter in batch.letters]
            deliveries = self._publish(originals, account=account)
            # Died here: published and not marked, so replayed once more.
            self._on_step(RelayStep.REPLAYED)
            sent = _confirmed(batch.letters, deliveries)
            batch.mark_replayed(sent)
            if refused := _refused(batch.letters, deliveries):
                batch.give_up(refused)  # trying again would be for ever, and hold up those behind
                _log.error("dead letters cannot be replayed", ids=_texts(refused), said=_refusals(deliveries))
        self._on_step(RelayStep.REPLAY_MARKED)
        self._measures.letters("replayed", len(sent))
        _raise_unconfirmed(deliveries)
        is_more = len(batch.letters) == AT_ONCE or None in deliveries
        return _Moved(is_any_confirmed=bool(sent), is_more=is_more)

    def _account(self, topic: str) -> str:
        self._beat()
        account = self._publisher.account(topic)
        self._beat()  # claiming waits for the store next
        return account

    def _publish(self, forms: Sequence[Sequence[Outgoing]], *, account: str) -> list[Delivery | None]:
        """Publish each letter in the first of its forms that is not refused; return what became of each.

        All are tried together first. One that is refused in company is tried alone before it is shortened.
        None stands for one that was refused in company and got too little time alone; it is to come first
        in another batch, as the first is tried in all its forms, however long that takes.
        """
        deliveries: list[Delivery | None] = [*self._send([whole for whole, *_ in forms], account=account)]
        began = self._clock.monotonic()
        first = next((index for index, found in enumerate(deliveries) if _is_refused(found)), None)
        for index, of_letter in enumerate(forms):
            for message in of_letter:
                if not _is_refused(deliveries[index]):
                    break
                if index != first and self._clock.monotonic() - began > _SHORTENING_SECONDS:
                    deliveries[index] = None
                    break
                (deliveries[index],) = self._send([message], account=account)
        return deliveries

    def _send(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        self._beat()
        return self._publisher.publish(messages, account=account)

    def _pass_over(self, letters: Sequence[StoredLetter], deliveries: Sequence[Delivery | None]) -> None:
        """Go on behind the letters that had their turn, and remember which of them did not go out."""
        had_turn = deliveries.index(None) if None in deliveries else len(deliveries)
        letters, deliveries = letters[:had_turn], deliveries[:had_turn]
        refused = _refused(letters, deliveries)
        left = [
            letter.id
            for letter, found in zip(letters, deliveries, strict=True)
            if isinstance(found, Undelivered)
        ]
        if left:  # else not, as one with a lower id may yet be committed, and no pass is to come
            self._pass.go_on(left[-1])
            self._pass.leave(refused=refused, is_unconfirmed=len(refused) < len(left))
        if refused:
            _log.error(
                "dead letters are refused by their topic and stay in the table",
                ids=_texts(refused),
                said=_refusals(deliveries),
                again_in_seconds=round(self._pass.refused_again_in(self._clock.monotonic())),
            )

    def _forms(self, stored: StoredLetter) -> list[Outgoing]:
        """Return the letter as it is forwarded: whole, without its value, and as its marks alone."""
        letter = stored.letter
        marks: list[tuple[str, bytes | None]] = [
            (topics.HEADER_DLQ_REASON, letter.reason.encode()),
            (topics.HEADER_DLQ_TOPIC, letter.topic.encode()),
            (topics.HEADER_DLQ_PARTITION, str(letter.partition).encode()),
            (topics.HEADER_DLQ_OFFSET, str(letter.offset).encode()),
            (topics.HEADER_DLQ_ID, str(stored.id).encode()),
        ]
        headers = [*letter.headers, *marks]
        return [
            Outgoing(self._dead_letter_topic, letter.key, letter.value, headers),
            Outgoing(self._dead_letter_topic, letter.key, None, headers),
            Outgoing(self._dead_letter_topic, None, None, marks),
        ]

    def _original(self, stored: StoredLetter) -> Outgoing:
        letter = stored.letter
        return Outgoing(self._topic, letter.key, letter.value, letter.headers)


def _confirmed(
    letters: Sequence[StoredLetter], deliveries: Sequence[Delivery | None]
) -> list[tuple[StoredLetter, Coordinates]]:
    return [
        (letter, place)
        for letter, place in zip(letters, deliveries, strict=True)
        if isinstance(place, Coordinates)
    ]


def _refused(letters: Sequence[StoredLetter], deliveries: Sequence[Delivery | None]) -> list[UUID]:
    return [letter.id for letter, found in zip(letters, deliveries, strict=True) if _is_refused(found)]


def _refusals(deliveries: Sequence[Delivery | None]) -> list[str]:
    return sorted({each.reason for each in deliveries if isinstance(each, Undelivered) and each.is_refused})


def _unconfirmed(deliveries: Sequence[Delivery | None]) -> list[str]:
    """Return why messages were neither confirmed nor refused, each reason once."""
    return sorted(
        {each.reason for each in deliveries if isinstance(each, Undelivered) and not each.is_refused}
    )


def _is_refused(delivery: Delivery | None) -> bool:
    return isinstance(delivery, Undelivered) and delivery.is_refused


def _raise_unconfirmed(deliveries: Sequence[Delivery | None]) -> None:
    """Raise StreamUnavailable where a message was neither confirmed nor refused."""
    if reasons := _unconfirmed(deliveries):
        raise StreamUnavailable(f"messages were not confirmed: {', '.join(reasons)}")


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]
