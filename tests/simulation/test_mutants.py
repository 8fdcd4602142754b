"""The simulation is proven by defects: each of them must be found, by the check that it breaks."""

import pytest
from simulation import mutants_beside, mutants_of_services, mutants_subtle
from simulation.mutants import MUTANTS, Mutant, applied
from simulation.run import simulate
from simulation.stage import quiet
from simulation.watch import Broken

SEEDS_MAX = 300
"""Within as many seeds as the suite runs every mutant is found; most are found by the first few."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_is_found(mutant: Mutant) -> None:
    broken: list[Broken] = []
    with quiet():
        for seed in range(mutant.first, mutant.first + SEEDS_MAX):
            with applied(mutant):
                broken = simulate(seed).broken
            if broken:
                break
    assert broken, f"nobody noticed that {mutant.about}: improve the checks"
    found = {each.promise for each in broken}
    assert found & mutant.found_by, f"{broken[0]}, not one of {sorted(mutant.found_by)}"


def test_every_mutant_of_the_protocol_is_there() -> None:
    for module in (mutants_beside, mutants_of_services, mutants_subtle):
        assert module.__doc__, "its defects are in the list, too"
    named = {
        "ignore_heard", "accept_gaps", "publish_before_commit", "acknowledge_before_commit",
        "no_epoch_check", "go_on_without_answer", "numbers_from_a_sequence",
        "mark_before_acknowledgement", "wake_before_backlog", "renew_lost_leases",
        "handed_over_is_done", "remake_skips_lazy_rows", "forget_deliveries",
        "apply_twice", "no_numbers_skipped", "nobody_hears_of_the_restore", "claims_forgotten",
        "open_gate", "slots_are_kept",
        "questions_stay", "agents_forget", "stops_in_silence", "letters_stay_settled",
        "answered_too_early", "receipts_are_not_kept",
        "firings_passed_over", "misses_are_not_counted", "fires_twice", "fires_beside",
        "no_caps", "decided_twice", "granted_to_all",
        "mark_one_too_far", "acknowledged_one_too_far", "resent_one_too_late",
        "remade_of_a_later_state", "wakes_stand", "tasks_one_too_far",
    }  # fmt: skip
    assert named <= {mutant.name for mutant in MUTANTS}
