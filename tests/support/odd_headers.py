"""A message with a header whose name is any bytes: confluent-kafka's Producer takes text only."""

import ctypes

from confluent_kafka import cimpl

from support.servers import Kafka

# enum rd_kafka_vtype_t of rdkafka.h
_TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADER, _END = 1, 3, 4, 7, 9, 0
_PRODUCER, _COPY = 0, 2


def send_with_header(kafka: Kafka, name: bytes, value: bytes, *, partition: int) -> None:
    """Send `value`, with one header of that name, through the librdkafka that is loaded already; block."""
    lib = ctypes.CDLL(cimpl.__file__)
    lib.rd_kafka_conf_new.restype = lib.rd_kafka_new.restype = ctypes.c_void_p
    trouble = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(lib.rd_kafka_conf_new())
    settings = {b"bootstrap.servers": kafka.bootstrap.encode(), b"log_level": b"0"}
    for key, setting in settings.items():
        assert lib.rd_kafka_conf_set(config, key, setting, trouble, len(trouble)) == 0, trouble.value
    producer = ctypes.c_void_p(lib.rd_kafka_new(_PRODUCER, config, trouble, len(trouble)))
    assert producer.value, trouble.value
    topic = ctypes.c_char_p(kafka.topic.encode())
    sent = lib.rd_kafka_producev(
        producer,
        *(ctypes.c_int(_TOPIC), topic),
        *(ctypes.c_int(_PARTITION), ctypes.c_int(partition)),
        *(ctypes.c_int(_FLAGS), ctypes.c_int(_COPY)),
        *(ctypes.c_int(_VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
        *(ctypes.c_int(_HEADER), ctypes.c_char_p(name), ctypes.c_char_p(b"v"), ctypes.c_ssize_t(1)),
        ctypes.c_int(_END),
    )
    assert sent == 0, sent
    assert lib.rd_kafka_flush(producer, 20_000) == 0
    lib.rd_kafka_destroy(producer)
