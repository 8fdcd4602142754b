"""Plausible errors in the engine's rules, planted to see whether the specification finds them.

Each is a function that plants one through pytest's `MonkeyPatch`, which takes it out again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import playing
import random_faults
from msgspec.structs import replace as struct_replace
from perdure_contracts.engine import NodeResult
from perdure_contracts.flow import RaceLost
from perdure_engine.definition import Workflow
from perdure_engine.executions import (
    conditions,
    decide,
    finishing,
    progress,
    racing,
    rounds,
    running,
    waiting,
)
from perdure_engine.executions.state import edge_key, place_of
from perdure_engine.nodes import flow_compare, flow_merge, flow_switch
from perdure_engine.nodes.base import Inputs, Outcome
from pytest import MonkeyPatch

Mutant = Callable[[MonkeyPatch], None]


def _instead(patch: MonkeyPatch, owner: Any, name: str, value: Any) -> None:
    """Let a function give what `value(*arguments)` does, or a value that is none."""

    def other(*given: Any, **more: Any) -> Any:
        return value(*given, **more) if callable(value) else value

    patch.setattr(owner, name, other)


def _first(*given: Any) -> Any:
    return given[0]


def _empty(*given: Any) -> list[Any]:
    del given
    return []


def _around(patch: MonkeyPatch, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
    """Let `wrap(original, *arguments)` be called instead of a function."""
    original = getattr(owner, name)

    def other(*given: Any, **more: Any) -> Any:
        return wrap(original, *given, **more)

    patch.setattr(owner, name, other)


# Readiness, skips ---------------------------------------------------------------------------


def a_join_does_not_wait(patch: MonkeyPatch) -> None:
    def reach(original: Any, self: Any, edge: Any, scope: Any) -> None:
        target = self.workflow.nodes[edge.target]
        live = self.state.edges.get(edge_key(edge.index, scope)) is not None
        here = len(scope) == self.workflow.gathering_depth[edge.target]
        place = place_of(target.node_id, scope)
        known = place in self.state.runs or place in self.state.rounds or place in self.state.over
        if live and here and not known and edge.index not in self.workflow.back:
            self.enqueue(target, scope)
            return
        original(self, edge, scope)

    _around(patch, progress.Progress, "reach", reach)


def one_dead_edge_skips(patch: MonkeyPatch) -> None:
    def gather(original: Any, state: Any, workflow: Any, node: Any, scope: Any) -> Any:
        inputs, edges = original(state, workflow, node, scope)
        some = 0 < len(edges) < len(workflow.forward_edges(node)) and not scope
        return (Inputs({}, inputs.connected), ()) if some else (inputs, edges)

    _around(patch, running, "gather", gather)


def inputs_in_reverse(patch: MonkeyPatch) -> None:
    def gather(original: Any, *given: Any) -> Any:
        inputs, edges = original(*given)
        ports = {port: list(reversed(items)) for port, items in inputs.ports.items()}
        return Inputs(ports, inputs.connected), edges

    _around(patch, running, "gather", gather)


def disabled_nodes_pass_everything(patch: MonkeyPatch) -> None:
    def passed(original: Any, outputs: Any, inputs: Inputs) -> Outcome:
        return original(outputs, Inputs({"main": inputs.items}))

    _around(patch, running, "passed_through", passed)


# Loops ----------------------------------------------------------------------------------------


def the_last_batch_is_lost(patch: MonkeyPatch) -> None:
    def done(original: Any, given: Any, region: Any, known: Any, plan: Any) -> Any:
        fewer = struct_replace(known, begun=max(0, known.begun - 1))
        return original(given, region, fewer, plan)

    _around(patch, rounds, "_batches_done", done)


def who_leaves_a_loop_is_lost(patch: MonkeyPatch) -> None:
    def asked(original: Any, *given: Any) -> Any:
        went = original(*given)
        none: list[Any] = []
        return (went[0], none) if isinstance(went, tuple) and went[0] else cast("Any", went)

    _around(patch, rounds, "_asked", asked)


def a_collected_item_forgets_its_error(patch: MonkeyPatch) -> None:
    _instead(patch, rounds, "error_json", _first)


# Error modes, connections -----------------------------------------------------------------------


def success_follows_errors(patch: MonkeyPatch) -> None:
    def arrange(original: Any, *given: Any, **more: Any) -> Any:
        arranged = original(*given, **more)
        return struct_replace(arranged, handled=())

    _around(patch, finishing, "arrange", arrange)


def no_error_edge_goes_on(patch: MonkeyPatch) -> None:
    _instead(patch, Workflow, "has_error_edge", value=True)


def otherwise_takes_all(patch: MonkeyPatch) -> None:
    def pick(original: Any, edges: Any, ports: Mapping[str, Any], *given: Any) -> Any:
        picks = original(edges, ports, *given)
        for edge in edges:
            if edge.otherwise:
                count = range(len(ports.get(edge.source_port, ())))
                picks = conditions.Picks({**picks.places, edge.index: [*count]}, picks.failed)
        return picks

    _around(patch, finishing, "pick", pick)


def always_output_forgets_a_port(patch: MonkeyPatch) -> None:
    def arrange(original: Any, *given: Any, **more: Any) -> Any:
        return original(*given, **{**more, "outputs": more["outputs"][:1]})

    _around(patch, finishing, "arrange", arrange)


# Merges, routes -----------------------------------------------------------------------------------


def every_join_is_inner(patch: MonkeyPatch) -> None:
    def joined(original: Any, left: Any, right: Any, keys: Any, join: str) -> Any:
        return original(left, right, keys, "inner" if join != "anti" else join)

    _around(patch, flow_merge, "joined", joined)


def position_stops_at_the_shortest(patch: MonkeyPatch) -> None:
    def by_position(original: Any, sides: Any) -> Any:
        shortest = min(map(len, sides))
        return original([side[:shortest] for side in sides])

    _around(patch, flow_merge, "_by_position", by_position)


def switch_takes_the_last_rule(patch: MonkeyPatch) -> None:
    def ports_for(original: Any, plan: Any, scope: Any) -> Any:
        names = original(replace(plan, first=False), scope)
        if not plan.first or not isinstance(names, list):
            return names
        return cast("list[str]", names)[-1:]

    _around(patch, flow_switch, "_ports_for", ports_for)


def equal_is_never_different(patch: MonkeyPatch) -> None:
    _instead(patch, flow_compare, "_differing", _empty)


# Races, marks, waits, what is late ----------------------------------------------------------------


def losers_go_on(patch: MonkeyPatch) -> None:
    _instead(patch, racing, "_stop_guarded", None)


def a_skip_by_hand_is_a_pass(patch: MonkeyPatch) -> None:
    def mark(original: Any, given: Any, command: Any) -> None:
        original(given, replace(command, outcome="done"))

    _around(patch, decide, "mark", mark)


def a_time_out_leaves_on_main(patch: MonkeyPatch) -> None:
    def end(original: Any, given: Any, place: str, by: str, outcome: Outcome, **more: Any) -> None:
        if by == "timeout" and outcome.ports:
            (items,) = outcome.ports.values()
            outcome = Outcome(ports={"main": items})
        original(given, place, by, outcome, **more)

    _around(patch, waiting, "end", end)


def answers_settle_whatever_runs(patch: MonkeyPatch) -> None:
    """Take a result for an attempt under way, whatever attempt it is of."""
    of = playing.decider_of

    def matched(grace_s: float) -> Any:
        known = of(grace_s)
        assert known.act is not None
        return replace(known, decide=_matched(known.decide), act=_matched(known.act))

    patch.setattr(playing, "decider_of", matched)


def _matched(original: Any) -> Any:
    def taken(state: Any, command: Any, *given: Any) -> Any:
        if isinstance(command, NodeResult) and state.tokens and command.token not in state.tokens:
            command = replace(command, token=min(state.tokens))
        return original(state, command, *given)

    return taken


def a_replay_forgets_an_event(patch: MonkeyPatch) -> None:
    """Fold something into the state of the living that the journal does not have."""
    known = random_faults.decider

    def evolve(state: Any, event: Any) -> Any:
        return state if isinstance(event, RaceLost) else known.evolve(state, event)

    patch.setattr(random_faults, "decider", replace(known, evolve=evolve))


MUTANTS: tuple[Mutant, ...] = (
    a_join_does_not_wait,
    one_dead_edge_skips,
    inputs_in_reverse,
    disabled_nodes_pass_everything,
    the_last_batch_is_lost,
    who_leaves_a_loop_is_lost,
    a_collected_item_forgets_its_error,
    success_follows_errors,
    no_error_edge_goes_on,
    otherwise_takes_all,
    always_output_forgets_a_port,
    every_join_is_inner,
    position_stops_at_the_shortest,
    switch_takes_the_last_rule,
    equal_is_never_different,
    losers_go_on,
    a_skip_by_hand_is_a_pass,
    a_time_out_leaves_on_main,
    answers_settle_whatever_runs,
    a_replay_forgets_an_event,
)
