import pytest

from orchestrator.domain.errors import IntakeBusyError
from orchestrator.intake.admission import Admission, AdmissionLimits


def make_admission(**limits) -> Admission:
    return Admission(AdmissionLimits(**limits))


class TestAdmit:
    def test_refuses_one_more_than_may_wait_and_says_when_to_come_back(self):
        admission = make_admission(requests=2)

        with admission.admit(1), admission.admit(1), pytest.raises(IntakeBusyError) as refused:
            admission.admit(1).__enter__()

        assert (refused.value.status, refused.value.code) == (503, "intake_busy")
        assert refused.value.retry_after_s >= 1

    def test_gives_the_place_back_whatever_happens_in_it(self):
        admission = make_admission(requests=1, total_bytes=10)

        with pytest.raises(ZeroDivisionError), admission.admit(9):
            raise ZeroDivisionError

        with admission.admit(9) as place:
            assert place.held_bytes == 9

    def test_refuses_more_bytes_than_may_be_held_together(self):
        admission = make_admission(total_bytes=10)

        with admission.admit(8), pytest.raises(IntakeBusyError):
            admission.admit(3).__enter__()

        with admission.admit(10) as place:
            assert place.held_bytes == 10

    def test_takes_a_single_one_of_any_size(self):
        admission = make_admission(total_bytes=10)

        with admission.admit(50) as place:
            assert place.held_bytes == 50

    def test_counts_what_arrives_later(self):
        admission = make_admission(total_bytes=10)

        with admission.admit(6), admission.admit(0) as place:
            place.grow(4)
            with pytest.raises(IntakeBusyError):
                place.grow(1)

        with admission.admit(10) as place:
            assert place.held_bytes == 10

    def test_refuses_when_images_have_become_slow(self):
        admission = make_admission(wait_s=60.0)
        for _ in range(50):
            admission.learn(100.0)

        with admission.admit(1), admission.admit(1), pytest.raises(IntakeBusyError) as refused:
            admission.admit(1).__enter__()

        assert 30 <= refused.value.retry_after_s <= 60
