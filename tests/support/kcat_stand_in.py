"""What stands in for kcat where it is not installed: the part of it that the README uses.

It reads the same words, and sends by librdkafka as kcat does: lines of the input become records.
"""

import argparse
import sys

from confluent_kafka import KafkaError, Message, Producer


def main() -> int:
    """Produce as `kcat -P` does; return 1 if a record was not taken."""
    parser = argparse.ArgumentParser(prog="kcat", allow_abbrev=False)
    parser.add_argument("-P", action="store_true", required=True)
    parser.add_argument("-b", dest="brokers", required=True)
    parser.add_argument("-t", dest="topic", required=True)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-k", dest="key")
    given = parser.parse_args()
    refused: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(str(error))

    producer = Producer({"bootstrap.servers": given.brokers})
    headers = [tuple(each.split("=", 1)) for each in given.headers]
    for line in sys.stdin.buffer.read().splitlines():
        producer.produce(given.topic, line, key=given.key, headers=headers, on_delivery=delivered)
    left = producer.flush(30.0)
    for text in refused:
        print(f"% ERROR: {text}", file=sys.stderr)
    return 1 if refused or left else 0


if __name__ == "__main__":
    sys.exit(main())
