"""What each of Azure's error codes asks for, by the code alone; quota by its words, too."""

import pytest

from orchestrator.domain.start_errors import StartProblem, classify_start_error


class TestClassifyStartError:
    @pytest.mark.parametrize(
        "code",
        [
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
        ],
    )
    def test_no_host_has_room(self, code: str):
        assert classify_start_error(code) is StartProblem.CAPACITY

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("SkuNotAvailable", "The requested size is not available in zone '1'."),
            ("QuotaExceeded", ""),
            ("OperationNotAllowed", "Operation results in exceeding approved cores of 24."),
            ("OperationNotAllowed", "Exceeding the quota of standardNCADSA100v4Family."),
            ("AuthorizationFailed", ""),
            ("ResourceNotFound", ""),
            ("ResourceGroupNotFound", ""),
            ("MissingSubscriptionRegistration", ""),
        ],
    )
    def test_only_a_person_can_mend_it(self, code: str, message: str):
        assert classify_start_error(code, message) is StartProblem.CONFIGURATION

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("Conflict", "The request failed due to conflict with a concurrent request."),
            ("OperationPreempted", ""),
            ("OperationNotAllowed", "The VM is being deallocated."),
            ("TooManyRequests", ""),
            ("Unreachable", ""),
        ],
    )
    def test_the_same_call_may_do_soon(self, code: str, message: str):
        assert classify_start_error(code, message) is StartProblem.BUSY

    @pytest.mark.parametrize(
        "code", ["VMStartTimedOut", "InternalExecutionError", "never heard of it"]
    )
    def test_anything_else_counts_against_the_vm(self, code: str):
        assert classify_start_error(code) is StartProblem.PLATFORM
