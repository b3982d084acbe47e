"""Places for replies: none is lost, whatever becomes of the visitor, and no conversation gets two."""

import time

import pytest

from glm4_demos.webpage.admission import Admission, Refused


def refusal(admission: Admission, page: str, conversation: str = "talk") -> str:
    """The reason why a message is refused; empty where it is let in."""
    try:
        admission.admit(page, conversation)
    except Refused as refused:
        return refused.reason
    return ""


def test_as_many_replies_as_there_are_places() -> None:
    admission = Admission(2)
    assert [refusal(admission, page) for page in ("one", "two", "three")] == ["", "", "busy"]
    with admission.writing("one", "talk"):
        assert len(admission) == 2
    assert len(admission) == 1 and refusal(admission, "three") == ""


def test_messages_whose_replies_never_begin_lock_nobody_out() -> None:
    admission = Admission(32, patience=0.2)
    assert {refusal(admission, f"gone {number}") for number in range(32)} == {""}
    assert refusal(admission, "here") == "busy"
    time.sleep(0.25)
    assert {refusal(admission, f"here {number}") for number in range(32)} == {""}


def test_a_reply_that_is_being_written_does_not_expire() -> None:
    admission = Admission(1, patience=0.05)
    admission.admit("one", "talk")
    with admission.writing("one", "talk"):
        time.sleep(0.1)
        assert refusal(admission, "two") == "busy"
    assert refusal(admission, "two") == ""


def test_a_reply_that_begins_late_takes_a_place_anew_if_there_is_one() -> None:
    admission = Admission(1, patience=0.05)
    admission.admit("slow", "talk")
    time.sleep(0.1)
    with admission.writing("slow", "talk"):
        assert refusal(admission, "two") == "busy"
    admission.admit("slow", "talk")
    time.sleep(0.1)
    admission.admit("two", "talk")
    with pytest.raises(Refused, match="busy"), admission.writing("slow", "talk"):
        pass
    assert len(admission) == 1


def test_an_error_while_a_reply_is_written_frees_its_place() -> None:
    admission = Admission(1)
    for _ in range(3):
        admission.admit("one", "talk")
        with pytest.raises(ZeroDivisionError), admission.writing("one", "talk") as place:
            1 / 0  # noqa: B018
        assert place.cancel.is_set() and len(admission) == 0


def test_a_conversation_gets_one_reply_at_a_time() -> None:
    admission = Admission(4)
    admission.admit("one", "talk")
    assert refusal(admission, "one") == ""  # sent again before its reply began: the first one was given up
    with admission.writing("one", "talk"):
        assert refusal(admission, "one") == "still" and refusal(admission, "one", "another") == ""
        with pytest.raises(Refused, match="still"), admission.writing("one", "talk"):
            pass
        assert refusal(admission, "one") == "still"
    assert refusal(admission, "one") == ""


def test_who_leaves_or_stops_ends_the_replies_of_that_page_alone() -> None:
    admission = Admission(4)
    for page, conversation in (("one", "a"), ("one", "b"), ("two", "a")):
        admission.admit(page, conversation)
    with admission.writing("one", "a") as one, admission.writing("two", "a") as two:
        admission.stop("one")
        assert one.cancel.is_set() and not two.cancel.is_set() and len(admission) == 3
        admission.leave("one")
        assert len(admission) == 1
        admission.admit("one", "a")  # back already: the old reply's end must not free the new one's place
    assert len(admission) == 1


def test_one_visitor_has_a_share_of_the_places() -> None:
    admission = Admission(4, each=2)
    for number in range(2):
        admission.admit(f"tab {number}", "talk", visitor="busy")
    with pytest.raises(Refused, match="yours"):
        admission.admit("tab 2", "talk", visitor="busy")
    with pytest.raises(Refused, match="yours"), admission.writing("tab 2", "talk", "busy"):
        pass
    admission.admit("tab 3", "talk", visitor="other")
    with admission.writing("tab 0", "talk", "busy"):
        assert len(admission) == 3
    admission.admit("tab 2", "talk", visitor="busy")
