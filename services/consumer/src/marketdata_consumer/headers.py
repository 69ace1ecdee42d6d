"""A message's headers, which confluent-kafka hands out only where all their names are UTF-8."""

from collections.abc import Sequence

from marketdata_consumer.ports import Message


def headers_of(message: Message) -> Sequence[tuple[str, bytes | None]] | None:
    """Return name and value of each header, in order; None where the client cannot tell them.

    A name is any bytes on the wire. For one that is not UTF-8 confluent-kafka (2.16) raises SystemError, with
    UnicodeDecodeError as its cause. Asked again it returns a tuple with a NULL in it, and whoever touches
    that ends the process: so such a message has no headers from then on.
    """
    try:
        return message.headers() or ()
    except (SystemError, UnicodeDecodeError):
        message.set_headers([])
        return None
