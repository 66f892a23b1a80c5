import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)

from coldforge.doctor.errors import (
    DeniedError,
    NoAnswerError,
    NotLoggedInError,
    NotThereError,
    ProbeError,
)
from coldforge.doctor.probes.rest import translate


def answered(status):
    error = HttpResponseError("no")
    error.status_code = status
    return error


class TestTranslate:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (answered(401), NotLoggedInError),
            (answered(403), DeniedError),
            (answered(404), NotThereError),
            (answered(429), ProbeError),
            (answered(500), ProbeError),
            (ClientAuthenticationError("no token"), NotLoggedInError),
            (ServiceRequestError("no route"), NoAnswerError),
            (ValueError("no JSON"), NoAnswerError),
        ],
    )
    def test_says_an_error_of_azure_in_our_words(self, error, kind):
        translated = translate(error, "https://somewhere.invalid")

        assert type(translated) is kind
        assert "https://somewhere.invalid" in translated.message
