"""Tasks that another runner is to have: where they go."""

from perdure_common.shell.ports import Outbound, Record, Unreachable
from perdure_engine.runner import elsewhere as module
from perdure_engine.runner.elsewhere import elsewhere, pass_on


def test_a_task_goes_to_a_partition_that_others_read_if_there_is_one() -> None:
    assert elsewhere(0, {0, 1}, 4) == 2
    assert elsewhere(3, {2, 3}, 4) == 0
    assert elsewhere(0, {0, 1, 2, 3}, 4) is None


async def test_it_is_done_here_only_when_it_is_safely_there(monkeypatch: object) -> None:
    record = Record("perdure.engine.tasks.v1", 0, 7, b"task", b"e", (("ce_type", b"x"),))
    sent: list[Outbound] = []
    done: list[Record] = []

    class Flaky:
        async def send(self, records: list[Outbound]) -> list[BaseException | None]:
            if not sent:
                sent.append(records[0])
                raise Unreachable("gone")
            assert done == []
            sent.append(records[0])
            return [None]

    monkeypatch.setattr(module, "PAUSE_S", 0.0)  # type: ignore[attr-defined]
    await pass_on(Flaky(), record, 2, done.append)  # type: ignore[arg-type]
    assert [each.partition for each in sent] == [2, 2]
    assert sent[1].headers == record.headers
    assert done == [record]
