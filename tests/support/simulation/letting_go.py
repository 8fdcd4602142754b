"""How people let parked streams go on: by the dead letters that wait for them, and no other way.

So a stream that is parked without a letter that waits is never let go, and the run does not come
to rest. Only a dead letter that could not be kept has none: who starts recovery anew lets it go.
"""

from perdure_common.shell import codec
from perdure_contracts.dead_letters import RedriveDeadLetter
from perdure_contracts.shell import Unpark

from simulation.load import Load
from simulation.stage import Stage


async def let_go(stage: Stage, load: Load) -> None:
    """Send every dead letter again for which a stream waits."""
    recovery = stage.databases["recovery"].store
    letters: dict[tuple[str, str], list[str]] = {}
    for row in recovery.tables.get("dead_letters", ()):
        if row["status"] == "waiting" and row["parked_stream"]:
            streams = letters.setdefault((row["service"], row["parked_stream"]), [])
            streams.append(str(row["stream"]))
    for name, database in stage.databases.items():
        for shard in database.store.shards():
            for stream in sorted(shard.parked):
                stage.watch.note(f"let go {name} {stream}")
                for letter in sorted(letters.get((name, stream), ())):
                    message = RedriveDeadLetter(letter=letter, asked_by="simulation")
                    number = load.asked[RedriveDeadLetter.__name__]
                    await load.command("recovery", letter, message, f"redrive-{number}")
                if database.store.down:
                    continue  # it is looked at again in a while
                first = [m for m in await database.store.parked(stream, 3) if m.n > 0]
                if first and codec.unpack_record(first[0].raw).topic.endswith(codec.DEAD_LETTERS):
                    await load.command(name, stream, Unpark(stream=stream), "unpark")
