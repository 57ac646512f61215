"""How much memory a process took for its work."""

from service.measuring.process_memory import MemoryHeld, growth, memory_held


def test_memory_is_what_was_needed_beyond_code() -> None:
    """Code that PyTorch reads when it is first called would count as a learner's memory, or nothing would."""
    assert growth(MemoryHeld(100, 30), MemoryHeld(180, 50)) == 60
    assert growth(MemoryHeld(100, 30), MemoryHeld(100, 50)) == 0
    assert growth(None, MemoryHeld(1, 1)) is None
    before = memory_held()
    block = bytearray(64 * 2**20)
    block[:: 2**12] = b"x" * (len(block) // 2**12)
    grown = growth(before, memory_held())
    # What was freed before may be used again, so that a process grows by less than it asks for.
    assert grown is None or grown <= 70 * 2**20
