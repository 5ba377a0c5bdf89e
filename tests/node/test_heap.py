"""How often garbage is looked for: seldom, and never among what was there at the start."""

import gc

from validator.node import heap


def test_a_settled_heap_is_not_looked_through_again() -> None:
    before = gc.get_threshold()
    try:
        heap.settle()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == (heap.YOUNG, heap.MIDDLE, heap.ALL)
        assert gc.isenabled(), "cycles are found all the same, only later"
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
