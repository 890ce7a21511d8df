"""Interrupts from the keyboard, held back and let through."""

import signal
import threading

import pytest

from skvae._interrupts import interrupts_allowed, interrupts_held


def interrupt():
    """What the system does when the user presses Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _the_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def interrupted(block):
    """What the block adds to a list before it raises KeyboardInterrupt."""
    done = []
    with pytest.raises(KeyboardInterrupt):
        block(done)
    return done


def test_an_interrupt_is_raised_once_at_the_end_of_the_block():
    def block(done):
        with interrupts_held():
            interrupt()
            done.append("all")

    assert interrupted(block) == ["all"]
    with interrupts_held():
        pass


def test_an_error_in_the_block_is_the_context_of_the_interrupt():
    def block(*_):
        with interrupts_held():
            interrupt()
            raise OverflowError

    with pytest.raises(KeyboardInterrupt) as raised:
        block()
    assert isinstance(raised.value.__context__, OverflowError)


def test_a_block_within_another_leaves_the_interrupt_to_it():
    def block(done):
        with interrupts_held():
            with interrupts_held() as inner, inner.lifted():
                interrupt()
                done.append("inner")
            done.append("outer")

    assert interrupted(block) == ["inner", "outer"]


LIFTED = {"lifted": interrupts_held.lifted, "allowed": lambda hold: interrupts_allowed()}


@pytest.mark.parametrize("lift", LIFTED.values(), ids=LIFTED)
def test_a_lifted_part_is_interrupted_at_once(lift):
    def block(done):
        with interrupts_held() as hold:
            try:
                with lift(hold):
                    interrupt()
                    done.append("not reached")
            finally:
                interrupt()  # held again
                done.append("undone")

    assert interrupted(block) == ["undone"]


@pytest.mark.parametrize("lift", LIFTED.values(), ids=LIFTED)
def test_an_interrupt_that_was_held_is_raised_before_a_lifted_part(lift):
    def block(done):
        with interrupts_held() as hold:
            interrupt()
            done.append("held")
            with lift(hold):
                done.append("not reached")

    assert interrupted(block) == ["held"]


def test_interrupts_are_allowed_within_several_blocks_or_none():
    def block(*_):
        with interrupts_allowed():
            interrupt()

    interrupted(block)
    with interrupts_held(), interrupts_held():
        interrupted(block)


def test_other_handlers_of_the_caller_are_called_later():
    seen = []
    usual = signal.signal(signal.SIGINT, lambda *_: seen.append("usual"))
    try:
        with interrupts_held():
            interrupt()
            seen.append("held")
        assert seen == ["held", "usual"]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_held(), interrupts_allowed():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, usual)


def test_other_threads_do_not_set_a_handler():
    seen = []

    def in_thread():
        with interrupts_held() as hold, hold.lifted(), interrupts_allowed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=in_thread)
    with interrupts_held():
        thread.start()
        thread.join()
        assert seen == [signal.getsignal(signal.SIGINT)]
